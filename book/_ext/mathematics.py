"""Mathematics drawn while the pages are: KaTeX runs here once, in a JavaScript engine, and in no reader's browser."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import quickjs
from sphinxcontrib import katex

SCRIPT = Path(katex.__file__).with_name("katex.min.js")


@cache
def engine() -> quickjs.Object:
    context = quickjs.Context()
    context.eval(SCRIPT.read_text("utf-8"))
    context.eval(Path(__file__).with_name("draw.js").read_text("utf-8"))
    return context.get("draw")


@cache
def draw(latex: str, display: bool) -> str:
    """HTML and MathML of a formula; a quickjs.JSException that quotes what KaTeX cannot read."""
    return json.loads(engine()(latex, display))


def answer(request: dict, timeout: float) -> dict:
    """What the server says that sphinxcontrib-katex would start with Node."""
    latex = request["latex"]
    try:
        return {"html": draw(latex, request["katex_options"].get("displayMode", False))}
    except quickjs.JSException as fault:
        return {"error": f"{str(fault).splitlines()[0]} (in {latex.strip()})"}


def setup(app):
    katex.KaTeXServer.katex_server = SimpleNamespace(render=answer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
