"""Our password at a directory, read when a connection begins, so that a changed one needs no restart."""

from collections.abc import Mapping

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Ldap


def read_password(directory: Ldap, environment: Mapping[str, str]) -> str:
    """From wherever `gateway.toml` says it is; empty for anonymous access. Raises ConfigurationError, which never
    holds it."""
    if directory.password_file is not None:
        try:
            lines = directory.password_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the password file {directory.password_file} of directory {directory.name} cannot be read",
                type(error).__name__,
            ) from None
        password = lines[0] if lines else ""
    elif directory.password_env:
        password = environment.get(directory.password_env, "")
    else:
        password = directory.password
    if directory.bind_dn and not password:
        # An empty password binds as nobody, and many servers call that success (RFC 4513 section 5.1.2).
        raise ConfigurationError(f"the password of directory {directory.name} is empty, or its variable is not set")
    return password
