"""The role {claim}`C2`: a link to that row of the ledger, or to the first of those whose ids begin with these words."""

from docutils import nodes
from sphinx.util.docutils import ReferenceRole


class Claim(ReferenceRole):
    def run(self):
        to = f"claims.html#{'-'.join(self.target.split())}"
        return [nodes.reference("", self.title, refuri=to, internal=True, classes=["claim"])], []


def setup(app):
    app.add_role("claim", Claim())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
