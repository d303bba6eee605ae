"""The frame of every page; what is in it, the browser's modules draw."""

from html import escape
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse

from vwed_grpc.console.languages import language_of, words

_NAVIGATION = (("runs", "/"), ("definitions", "/definitions"), ("figures", "/figures"))


def page(request: Request, *, allow_actions: bool) -> HTMLResponse:
    """In the browser's language; a tenant in the address stays there from page to page."""
    language = language_of(request.headers.get("accept-language", ""))
    said = words(language)
    here = f"/{request.url.path.strip('/').partition('/')[0]}".replace("/runs", "/")
    tenant = request.query_params.get("tenant", "")
    query = f"?tenant={quote(tenant)}" if tenant else ""
    links = "".join(
        f'<a href="{path}{query}"{" aria-current=page" if path == here else ""}>'
        f"{escape(said[f'page.{name}'])}</a>"
        for name, path in _NAVIGATION
    )
    actions = " data-actions" if allow_actions else ""
    return HTMLResponse(
        f'<!doctype html><html lang="{language}"{actions}><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<title>VWED</title>"
        '<link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/static/console.css">'
        f'<body><header><nav aria-label="{escape(said["nav.label"])}"><b>VWED</b>{links}</nav>'
        '<span id="state" role="status"></span></header>'
        f"<main><noscript>{escape(said['needs.script'])}</noscript></main>"
        '<script type="module" src="/static/main.js"></script></html>\n',
        headers={"Vary": "Accept-Language"},
    )
