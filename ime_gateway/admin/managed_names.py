"""A managed domain by the name that an administrator typed, or the sentence that says what to do first."""

from ime_gateway.base.errors import UserError
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.site import domain_name


def managed_named(view: SiteView, name: str) -> str:
    """The name as the site has it; raises UserError for what is no domain, and for domains that are not managed."""
    try:
        wanted = domain_name(name.strip())
    except ValueError as error:
        raise UserError(str(error)) from None
    if wanted not in view.managed:
        raise UserError(
            f"{wanted} is no managed domain; first:"
            f" ime-gateway domain add {wanted} --managed deliver_to=smtp://HOST:PORT"
        )
    return wanted
