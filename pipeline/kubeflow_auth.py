"""How a Kubeflow Pipelines installation knows who asks: nobody in particular, a token, or a session from Dex.

Secrets come from files or the environment, never from arguments, which every user of a machine may read.
"""

from __future__ import annotations

import dataclasses
import html.parser
import http.client
import http.cookiejar
import pathlib
import ssl
import urllib.error
import urllib.parse
import urllib.request

from applications.errors import ConfigError
from pipeline.kubeflow_errors import ServerError, Unanswered, broken_tls, refusal

IN_CLUSTER_TOKEN = pathlib.PurePosixPath("/var/run/secrets/kubeflow/pipelines/token")  # where pods have it projected
LOGIN_S = 30  # seconds for one page of a login
_STEPS = 4  # pages from the server's address to the form, and behind it
_FORBIDDEN = 403


@dataclasses.dataclass(frozen=True, kw_only=True)
class Login:
    """Who asks.

    Attributes:
        token: bearer token, "" for none.
        token_file: holds one, and is read again for each question, as the kubelet renews it.
        user: Dex knows them by, often an e-mail address; "" for none.
        password: theirs.
    """

    token: str = dataclasses.field(default="", repr=False)
    token_file: pathlib.Path | None = None
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("token", "password"):
            if not getattr(self, name).isprintable():
                raise ConfigError(f"the {name} must be one line without control characters. Write it anew.")


def secret(path: pathlib.Path, option: str) -> str:
    """Reads a secret; the newline at its end does not belong to it.

    Raises:
        ConfigError: the file cannot be read or holds nothing. The text never holds what it does hold.
    """
    try:
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{option} must be a readable file, got {str(path)!r}: {reason}.") from error
    if not text:
        raise ConfigError(f"{option} must hold a secret, and {str(path)!r} is empty.")
    return text


def dex_cookie(host: str, login: Login, ca_file: pathlib.Path | None) -> str:
    """Logs in at the form that an installation with Dex sends everybody to who has no session.

    Args:
        host: address of the pipelines' API.
        login: with user and password.
        ca_file: certificates to trust, instead of the system's.

    Returns:
        The header `Cookie` for further questions.

    Raises:
        Unanswered: nobody answers.
        ServerError: there is no form, or it takes neither user nor password.
    """
    jar = http.cookiejar.CookieJar()
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    browser = _Browser(
        host,
        urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(jar), urllib.request.HTTPSHandler(context=context)
        ),
    )
    form = browser.find_form()
    fields = {**form.hidden, "login": login.user, "password": login.password}
    url, page = browser.open(form.action, urllib.parse.urlencode(fields).encode())
    again = _Page.read(url, page)
    if again.asks_password:
        raise ServerError(
            f"{host} does not take user {login.user!r} with this password. Look at both; Dex's log says more."
        )
    if again.action and urllib.parse.urlsplit(url).path.endswith("/approval"):
        browser.open(again.action, urllib.parse.urlencode({**again.hidden, "approval": "approve"}).encode())
    question = urllib.request.Request(f"{host}/")
    jar.add_cookie_header(question)
    cookie = question.get_header("Cookie")
    if not cookie:
        raise ServerError(
            f"{host} gave no session to user {login.user!r} after the login. Where --host begins with http://, the "
            "installation may keep its cookies for https:// only."
        )
    return cookie


@dataclasses.dataclass
class _Browser:
    """Opens pages and keeps their cookies."""

    host: str
    opener: urllib.request.OpenerDirector

    def open(self, url: str, data: bytes | None = None) -> tuple[str, str]:
        """Returns where a page was found in the end, and its text."""
        if self.host.startswith("https:") and not url.startswith("https:"):
            raise ServerError(f"{self.host} sends the login to {url}, where a password would go without TLS. Mend it.")
        try:
            with self.opener.open(url, data, timeout=LOGIN_S) as answer:
                return str(answer.geturl()), answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            if error.code == _FORBIDDEN and not data:  # the sign-in page of oauth2-proxy
                return str(error.geturl()), error.read().decode("utf-8", "replace")
            raise refusal(self.host, "log in", error.code, error.read()) from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                raise broken_tls(self.host, "log in", reason) from error
            raise Unanswered(f"{self.host} cannot be reached to log in: {reason}. Look at --host.") from error

    def find_form(self) -> _Page:
        """Follows the way to the page that asks for a password."""
        url = f"{self.host}/"
        for _ in range(_STEPS):
            url, text = self.open(url)
            page = _Page.read(url, text)
            if page.asks_password:
                return page
            if not page.next_url:
                break
            url = page.next_url
        raise ServerError(
            f"{self.host} shows no form that asks for a password, but {url}. Where it has no login, leave --auth out; "
            "where the login is another one, get a token and give --auth token."
        )


class _Page(html.parser.HTMLParser):
    """The little of a page of Dex, or of oauth2-proxy before it, that a login needs.

    Attributes:
        action: address of its form.
        hidden: values the form sends along.
        asks_password: the form has a field for one.
        next_url: a link that leads on to the form, "" for none.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.asks_password = False
        self.next_url = ""

    @classmethod
    def read(cls, url: str, text: str) -> _Page:
        """Reads the page found at an address."""
        page = cls(url)
        page.feed(text)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes forms, their fields, and links of a page on which one chooses how to log in."""
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = urllib.parse.urljoin(self.url, found.get("action", ""))
            if found.get("action", "").endswith("/oauth2/start"):
                self.next_url = self.action
        elif tag == "input":
            self.asks_password |= found.get("type") == "password"
            if found.get("type") == "hidden":
                self.hidden[found.get("name", "")] = found.get("value", "")
        elif tag == "a" and "/auth/local" in found.get("href", ""):
            self.next_url = urllib.parse.urljoin(self.url, found["href"])
