"""Runs all checks in the order in which they can be mended: file, values, files, ports, store."""

import os
from collections.abc import Mapping
from pathlib import Path

from ime_gateway.app.installation import open_installed_store
from ime_gateway.app.preflight.directory_checks import check_directories, reach_directories
from ime_gateway.app.preflight.file_checks import check_files
from ime_gateway.app.preflight.finding import Finding, error, ok
from ime_gateway.app.preflight.port_checks import check_ports
from ime_gateway.app.preflight.settings_checks import check_settings
from ime_gateway.app.preflight.store_checks import check_store
from ime_gateway.base.errors import ConfigurationError, StoreUnavailable
from ime_gateway.settings.load import WrongFileError, load_settings
from ime_gateway.settings.model import Settings
from ime_gateway.store.master_key import read_master_key


def preflight(config: Path, environment: Mapping[str, str], moment: float) -> list[Finding]:
    """Everything that was looked at; `moment` is now, seconds since 1970 UTC. Raises nothing for what is wrong."""
    try:
        settings = load_settings(config, environment)
    except WrongFileError as trouble:
        return [error("gateway.toml", problem) for problem in trouble.problems]
    findings = [ok("gateway.toml", str(config)), *check_settings(settings), *check_files(settings, moment)]
    findings += [*check_directories(settings, environment), *check_ports(settings)]
    return [*findings, *_reach(settings, environment, findings), *_store(config, settings, moment)]


def refuse_unfit(settings: Settings, moment: float) -> None:
    """Raises ConfigurationError with everything that `check` calls an error of the settings and their files.

    `serve` asks this before it starts, and again before SIGHUP replaces a worker that runs well.
    """
    found = (*check_settings(settings), *check_files(settings, moment), *check_directories(settings, os.environ))
    wrong = [one for one in found if one.level == "error"]
    if wrong:
        raise ConfigurationError("\n".join(f"{one.key}: {one.message}" for one in wrong))


def _reach(settings: Settings, environment: Mapping[str, str], findings: list[Finding]) -> list[Finding]:
    if not settings.ldap:
        return []
    from ime_gateway.lookup.ldap_session import open_session  # its library is large, and few need it

    wrong = {one.key for one in findings if one.level == "error"}
    return list(reach_directories(settings, lambda one, seconds: open_session(one, environment, seconds), wrong))


def _store(config: Path, settings: Settings, moment: float) -> list[Finding]:
    try:
        master_key = read_master_key(settings.secrets.master_key_file)
    except ConfigurationError:
        return [error("store.url", "not looked at: the master key comes first")]
    try:
        store = open_installed_store(settings, master_key, config)
    except (ConfigurationError, StoreUnavailable) as trouble:
        return [error("store.url", _with_evidence(trouble))]
    try:
        return list(check_store(store, settings, moment))
    except (ConfigurationError, StoreUnavailable) as trouble:
        return [error("store.url", _with_evidence(trouble))]
    finally:
        store.close()


def _with_evidence(trouble: ConfigurationError | StoreUnavailable) -> str:
    return f"{trouble} ({trouble.evidence})" if trouble.evidence else str(trouble)
