"""The certificates of people, each with the verdict that mail to its owner would get at this moment."""

from flask import Blueprint, abort, render_template

from ime_gateway.base.errors import UserError
from webui.admin.paging import asked_page, asked_words
from webui.site import Site


def certificate_pages(site: Site) -> Blueprint:
    """Certificates, read-only."""
    pages = Blueprint("certificates", __name__)
    desk = site.desks.keys

    @pages.get("/certificates")
    def certificates() -> str:
        search = asked_words("search")
        page = asked_page(lambda limit, offset: desk.certificates(search=search, limit=limit, offset=offset))
        return render_template("certificates/certificates.html", page=page, search=search)

    @pages.get("/certificates/<thumbprint>")
    def certificate(thumbprint: str) -> str:
        try:
            found = desk.certificate(thumbprint)
        except UserError:
            abort(404)
        return render_template("certificates/certificate.html", item=found)

    return pages
