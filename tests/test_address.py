"""The project's address: found, filled in, or left out; what Colab's first cell does with it when things go wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import address
import nbformat
import pytest
import set_up
import twins
import yaml
from address import Address

ROOT = Path(__file__).parents[1]
FORK = Address("ada/my.fork", "0123456789abcdef0123456789abcdef01234567")
# They read more than 25 MB, and say so.
LARGE = {"sentiment", "sentiment-rank", "sentiment-gates", "claims", "how-computed"}


def git(folder, *words):
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    return subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    (tmp_path / "checkout").mkdir()
    git(tmp_path / "checkout", "init", "-q")
    git(tmp_path / "checkout", "commit", "-q", "--allow-empty", "-m", "x")
    return tmp_path / "checkout"


@pytest.mark.parametrize(
    ("origin", "slug"),
    [
        ("https://github.com/ada/book", "ada/book"),
        ("https://github.com/ada/book.git", "ada/book"),
        ("https://x-token:abc@github.com/ada/my.book.git", "ada/my.book"),
        ("git@github.com:ada/book.git", "ada/book"),
        ("ssh://git@github.com/ada/book.git", "ada/book"),
        ("https://gitlab.com/ada/book.git", None),
        ("https://example.com/github.com/ada/book", None),
        ("/srv/git/book.git", None),
        (None, None),
    ],
)
def test_the_address_is_that_of_the_remote_if_it_is_on_github(checkout, origin, slug):
    if origin:
        git(checkout, "remote", "add", "origin", origin)
    found = address.find(checkout)
    assert found == (slug and Address(slug, git(checkout, "rev-parse", "HEAD").strip()))


def test_the_workflow_knows_better_than_the_remote(checkout, monkeypatch):
    git(checkout, "remote", "add", "origin", "https://github.com/ada/book")
    monkeypatch.setenv("GITHUB_REPOSITORY", "bob/fork")
    assert address.find(checkout).slug == "bob/fork"
    monkeypatch.setenv("GITHUB_REPOSITORY", "no name")
    with pytest.raises(SystemExit, match="'no name', but must be OWNER/REPOSITORY"):
        address.find(checkout)


def test_pages_of_an_owner_are_at_the_root():
    assert FORK.site == "https://ada.github.io/my.fork/"
    assert Address("Ada/ada.github.io", "1").site == "https://ada.github.io/"


def test_nobody_types_the_address():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    typed = re.compile(r"github\.io|github\.com/[\w.-]*interplay|interplay-book|colab\.research\.google")
    for name in listed:
        file = ROOT / name
        readable = file.suffix in (".md", ".py", ".yml", ".yaml", ".toml", ".cff", ".ipynb", "")
        if readable and file.is_file() and name not in ("book/_ext/address.py", "tests/test_address.py"):
            assert not (found := typed.search(file.read_text("utf-8").replace("OWNER.github.io", ""))), (
                name,
                found,
            )


def check_links(notebook, where, folder):
    """Every link of a twin leads to what the checkout holds or the workflow publishes; returns their number."""
    listed = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = {listed["root"], *(part["file"] for group in listed["parts"] for part in group["chapters"])}
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    inside = 0
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urlsplit(link)
        if not url.scheme:
            assert not url.path or (folder / url.path).resolve().exists(), link
            assert where is None or not url.path, f"{link} has no address"
        elif url.netloc == "colab.research.google.com":
            owner, of, name = re.fullmatch(
                r"/github/([\w.-]+/[\w.-]+)/blob/twins/(\w+)/([\w-]+)\.ipynb", url.path
            ).groups()
            assert (owner, of) == where and (twins.BOOK / f"{name}.md") in twins.chapters(), link
        elif url.netloc.endswith("github.io"):
            assert link.startswith(where.site) and url.path.removeprefix(urlsplit(where.site).path)[:-5] in pages, link
        else:
            continue
        inside += 1
    return inside


@pytest.mark.parametrize("where", [None, FORK], ids=["nowhere", "fork"])
def test_every_link_of_the_twins_leads_somewhere(where):
    followed = 0
    for chapter in twins.chapters():
        notebook = twins.twin(chapter, where)
        followed += check_links(notebook, where, twins.TWINS)
        install = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
        named = re.search(r'^REPOSITORY, COMMIT = "(.*)", "(.*)"$', install, re.M).groups()
        assert named == ((where.repository, where.commit) if where else ("", ""))
        if where is None:
            assert not re.search(
                r"github\.(io|com)/(?!mackelab)|colab", nbformat.writes(notebook).replace('"colab"', "")
            )
    assert followed > 30


def test_buttons_only_with_an_address():
    plain = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert address.configure(plain, None) == plain
    assert not {"repository", "launch_buttons"} & plain.keys() and set(plain["html"]) == {"favicon", "extra_footer"}
    filled = address.configure(plain, FORK)
    assert filled["repository"] == {"url": "https://github.com/ada/my.fork", "branch": FORK.commit}
    assert filled["html"]["baseurl"] == FORK.site


HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# %s

```{code-cell} ipython3
1 + 1
```
"""


@pytest.mark.parametrize("slug", [None, "ada/my.fork"])
def test_the_site_shows_buttons_only_with_an_address(tmp_path, slug):
    """Two pages, one with a twin: every link that is not of the theme leads to the fork and the built commit."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    commit = address.git(ROOT, "rev-parse", "HEAD")
    config = address.configure(config, Address(slug, commit) if slug else None)
    config |= {"execute": {"execute_notebooks": "off"}}
    config["sphinx"]["local_extensions"] = {"site_fixes": str(ROOT / "book/_ext")}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters: [{file: book/glossary}]\n")
    (tmp_path / "book").mkdir()
    for name in ("_static", "_templates", "references.bib"):
        (tmp_path / "book" / name).symlink_to(ROOT / "book" / name)
    for name in ("index", "glossary"):
        (tmp_path / f"book/{name}.md").write_text(HEAD % name)
    env = {name: value for name, value in os.environ.items() if name != "GITHUB_REPOSITORY"}
    env |= {"GITHUB_REPOSITORY": slug} if slug else {"GIT_DIR": str(tmp_path / "none")}
    command = [Path(sys.executable).with_name("jupyter-book"), "build", tmp_path, "-q"]
    subprocess.run(command, env=env, check=True, capture_output=True)
    seen = {name: (tmp_path / f"_build/html/book/{name}.html").read_text() for name in ("index", "glossary")}
    links = {name: set(re.findall(r'href="(https://(?:github|colab)[^"]+)"', page)) for name, page in seen.items()}
    ours = {
        name: {link for link in found if not re.search("sphinx|executablebooks", link)} for name, found in links.items()
    }
    if slug is None:
        assert ours == {"index": set(), "glossary": set()}
        assert not any("colab" in page.lower() or "github.io" in page for page in seen.values())
        return
    twin = Address(slug, commit).twin("index")
    assert twin in ours["index"] and not any("colab" in link for link in ours["glossary"])  # which has no twin
    for link in ours["index"] | ours["glossary"]:
        assert link == twin or urlsplit(link).path in (f"/{slug}", f"/{slug}/issues/new"), link
    assert '<link rel="canonical" href="https://ada.github.io/my.fork/book/index.html"' in seen["index"]
    listed = (tmp_path / "_build/html/sitemap.xml").read_text()
    assert "book/glossary.html" in listed and "book/linear-theory.html" not in listed  # which leads on to others


def test_published_twins_are_added_to_their_branch(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "origin")
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", "--shared", "--no-checkout", ROOT, work)
    git(work, "sparse-checkout", "set", "--no-cone", "/*", "!/results/")
    git(work, "checkout", "-q")
    (work / "results").symlink_to(ROOT / "results")
    subprocess.run(["cp", "-r", ROOT / "book/_ext", work / "book"], check=True)  # what is not committed yet, too
    subprocess.run(["cp", "-r", ROOT / ".ci", work], check=True)
    (work / ".venv").symlink_to(Path(sys.prefix))
    (work / "_build").mkdir()
    git(work, "remote", "set-url", "origin", tmp_path / "origin")
    names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = os.environ | names | {"GITHUB_REPOSITORY": "ada/fork"}
    commits = []
    for _ in range(2):
        commits.append(git(work, "rev-parse", "HEAD").strip())
        subprocess.run([work / ".ci/publish-twins"], env=env, check=True)
        git(work, "commit", "-q", "--allow-empty", "-m", "next")
    git(work, "reset", "-q", "--soft", commits[-1])
    subprocess.run([work / ".ci/publish-twins"], env=env, check=True)  # there is nothing to add
    listed = git(tmp_path / "origin", "ls-tree", "-r", "--name-only", "twins").split()
    assert sorted(listed) == sorted(f"{c}/{md.stem}.ipynb" for c in commits for md in twins.chapters())
    assert len(git(tmp_path / "origin", "log", "--format=%H", "twins").split()) == 2
    kept = nbformat.reads(git(tmp_path / "origin", "show", f"twins:{commits[1]}/zoo.ipynb"), 4)
    assert commits[1] in kept.cells[1].source and "https://github.com/ada/fork" in kept.cells[1].source


# The first cell, where there is no package: what is installed here is hidden, and pip is a function that may fail.
RUN = """
import importlib.machinery, subprocess, sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if not (Path(p or ".") / "interplay" / "__init__.py").exists()]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in str(f).lower()]
real = subprocess.run
def run(command, **kind):
    if "pip" not in command:
        return real(command, **kind)
    return subprocess.CompletedProcess(command, PIP, "", "ERROR: no wheel for you")
subprocess.run = run
exec(compile(Path("cell.py").read_text(), "cell.py", "exec"))
import interplay
print(interplay.__file__)
"""


def run_cell(folder, cell, *, pip=0, **env):
    (folder / "cell.py").write_text(cell)
    program = RUN.replace("PIP", str(pip))
    options = {"capture_output": True, "text": True, "check": False}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, "-c", program], cwd=folder, env=clean | env, **options)


def test_the_first_cell_survives_a_failed_install(tmp_path):
    """No network, a killed clone, a folder of the package's name, pip that fails: a sentence; then it works."""
    commit = address.git(ROOT, "rev-parse", "HEAD")
    allowed = tmp_path / "gitconfig"
    allowed.write_text("[uploadpack]\nallowFilter = true\nallowAnySHA1InWant = true\n[safe]\ndirectory = *\n")
    cell = set_up.first_cell(twins.BOOK / "speed-and-norm.md", Address("ada/fork", commit))
    cell = cell.replace("https://github.com/ada/fork", f"file://{ROOT}")
    assert f"file://{ROOT}" in cell
    home = tmp_path / f"book-{commit[:12]}"

    told = run_cell(tmp_path, cell.replace(f"file://{ROOT}", "file:///nowhere"))
    assert re.search(
        r"RuntimeError: The book's helpers are not installed \(.*\): check .* run this cell again", told.stderr
    )
    assert not home.exists()
    (tmp_path / "interplay/.git").mkdir(parents=True)  # a half-made clone, of this cell or of an older one
    (home.with_suffix(".part") / ".git").mkdir(parents=True, exist_ok=True)
    told = run_cell(tmp_path, cell, pip=1, GIT_CONFIG_GLOBAL=str(allowed))
    assert "(ERROR: no wheel for you): check" in told.stderr.splitlines()[-1]
    told = run_cell(tmp_path, cell, GIT_CONFIG_GLOBAL=str(allowed))
    assert told.stdout.splitlines()[-1] == str(home / "src/interplay/__init__.py"), told.stderr
    assert not home.with_suffix(".part").exists()
    kept = {folder.name for folder in (home / "results/paper").iterdir()}
    assert kept == {"training", "sweep", "rates", "rates-sweep", "recurrent", "recurrent-sweep"}
    assert (home / "benchmarks").exists() and not (home / "notebooks").exists()
    packed = sum(file.stat().st_size for file in (home / ".git").rglob("*") if file.is_file())
    assert packed < 25e6, f"{packed / 1e6:.1f} MB were fetched"


def test_a_chapter_says_how_much_it_fetches():
    for chapter in twins.chapters():
        cell = set_up.first_cell(chapter, FORK)
        size = int(re.search(r'^READS, SIZE = .*, "(\d+) MB"', cell, re.M)[1])
        assert size <= 25 or chapter.stem in LARGE, f"{chapter.stem} fetches {size} MB"
