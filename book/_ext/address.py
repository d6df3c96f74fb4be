"""Where the project is: nothing else knows its address, and nobody types it in.

The workflow's GITHUB_REPOSITORY, else the remote `origin` if it is on GitHub, else none.  A fork is at the fork's.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BRANCH = "twins"  # where the workflow publishes the twins with the address filled in, a folder a commit
NAME = r"[\w.-]+/[\w.-]+?"


LOGO = "book/_static/logo.png"
CARD = {"enable": True, "font": "DejaVu Sans", "image": LOGO, "image_mini": LOGO}


class Address(NamedTuple):
    """OWNER/REPOSITORY on GitHub, and the commit that is built."""

    slug: str
    commit: str

    @property
    def repository(self) -> str:
        return f"https://github.com/{self.slug}"

    @property
    def site(self) -> str:
        """GitHub Pages of the repository; those of OWNER.github.io are at the root of that host."""
        owner, name = self.slug.split("/")
        host = f"{owner.lower()}.github.io"
        return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"

    def twin(self, page: str) -> str:
        """What opens the twin of a page, as this commit made it, in Colab."""
        return f"https://colab.research.google.com/github/{self.slug}/blob/{BRANCH}/{self.commit}/{page}.ipynb"

    def source(self, path: str) -> str:
        """A file of this commit, as GitHub shows it."""
        return f"{self.repository}/blob/{self.commit}/{path}"


def git(root: Path, *words: str) -> str:
    """What git says about a checkout; empty if there is no git, no checkout or no answer."""
    if not shutil.which("git"):
        return ""
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False).stdout.strip()


def find(root: Path = ROOT) -> Address | None:
    """The address of a checkout, None if it is not on GitHub; ends with a sentence if GITHUB_REPOSITORY is no name."""
    if slug := os.environ.get("GITHUB_REPOSITORY"):
        if not re.fullmatch(NAME, slug):
            raise SystemExit(f"GITHUB_REPOSITORY is {slug!r}, but must be OWNER/REPOSITORY")
    else:
        home = r"(?:https://(?:[^@/]+@)?github\.com/|(?:ssh://)?git@github\.com[:/])"
        found = re.fullmatch(rf"{home}({NAME})(?:\.git)?/?", git(root, "remote", "get-url", "origin"))
        slug = found[1] if found else ""
    commit = git(root, "rev-parse", "HEAD")
    return Address(slug, commit) if slug and commit else None


def configure(config: dict, where: Address | None) -> dict:
    """The book's configuration with its address filled in; without one there is no button that needs it."""
    if where is None:
        return config
    buttons = {"use_issues_button": True, "use_repository_button": True}
    return config | {
        "repository": {"url": where.repository, "branch": where.commit},
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        "html": config["html"] | buttons | {"baseurl": where.site},
        "sphinx": found(config["sphinx"], where.site),
    }


def found(sphinx: dict, site: str) -> dict:
    """Sphinx's settings with what search engines and previews of links need: a sitemap, pictures at full address."""
    previews = {"ogp_site_url": site, "ogp_social_cards": CARD, "sitemap_url_scheme": "{link}"}
    previews["sitemap_excludes"] = [f"{name}.html" for name in sphinx["config"]["html_additional_pages"]]
    return sphinx | {
        "extra_extensions": [*sphinx["extra_extensions"], "sphinx_sitemap"],
        "config": sphinx["config"] | previews,
    }
