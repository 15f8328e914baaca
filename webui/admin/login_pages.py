"""In and out: login, the choice of an own password, logout.

A wrong name and a wrong password get the same answer after the same work, so nobody can find out
who administers this gateway; every login begins a new session (OWASP ASVS 5.0, 6.3.8, 7.2.4).
"""

import structlog
from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user

from ime_gateway.admin.accounts import MAXIMUM_LENGTH, MINIMUM_LENGTH, Account, Accounts, PasswordRefused
from webui.sessions import SessionBook, Visitor
from webui.site import Site
from webui.throttle import client_network, count_failure


def login_pages(site: Site) -> Blueprint:
    """The pages of the door."""
    pages = Blueprint("login", __name__)
    accounts, sessions = site.desks.accounts, site.sessions

    @pages.route("/login", methods=["GET", "POST"])
    @site.throttle.guard
    def login() -> ResponseReturnValue:
        if request.method == "POST":
            account = accounts.login(request.form.get("name", "")[:256], request.form.get("password", ""))
            if account is None:
                return _refuse_login()
            return _let_in(sessions, account)
        if current_user.is_authenticated:
            return redirect(url_for("overview.overview"), 303)
        return render_template("login/login.html", trouble="")

    @pages.route("/password", methods=["GET", "POST"])
    @site.throttle.guard
    def password() -> ResponseReturnValue:
        trouble = _change_password(accounts, sessions) if request.method == "POST" else ""
        if request.method == "POST" and not trouble:
            flash("Your new password is set.")
            return redirect(url_for("overview.overview"), 303)
        return render_template(
            "login/password.html",
            trouble=trouble,
            forced=current_user.account.must_change,
            minimum=MINIMUM_LENGTH,
            maximum=MAXIMUM_LENGTH,
        )

    @pages.post("/logout")
    def logout() -> ResponseReturnValue:
        structlog.get_logger().info("web-logout", account=current_user.account.name)
        sessions.close(current_user.get_id())
        session.clear()
        return redirect(url_for("login.login"), 303)

    return pages


def _refuse_login() -> ResponseReturnValue:
    """One answer for every reason. The name is not logged: people type passwords into that field."""
    count_failure()
    structlog.get_logger().warning("web-login-refused", client=client_network())
    return render_template("login/login.html", trouble="Name and password do not fit together."), 403


def _let_in(sessions: SessionBook, account: Account) -> ResponseReturnValue:
    _begin_session(sessions, account)
    structlog.get_logger().info("web-login", account=account.name, client=client_network())
    return redirect(url_for("login.password" if account.must_change else "overview.overview"), 303)


def _begin_session(sessions: SessionBook, account: Account) -> None:
    """Whatever the cookie said before, CSRF token included, is worth nothing from now on."""
    if current_user.is_authenticated:
        sessions.close(current_user.get_id())
    session.clear()
    login_user(Visitor(sessions.open(account), account))


def _change_password(accounts: Accounts, sessions: SessionBook) -> str:
    """Set the new password and a new session; what is wrong as a sentence, empty when it is done."""
    mine: Account = current_user.account
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return "The two new passwords differ; type the same one twice."
    current = None if mine.must_change else request.form.get("current", "")
    outcome = accounts.change_password(mine.name, current, new)
    if isinstance(outcome, PasswordRefused):
        if outcome.guess:
            count_failure()
        return outcome.sentence
    structlog.get_logger().info("web-password-changed", account=mine.name, client=client_network())
    _begin_session(sessions, outcome)
    return ""
