"""`/docs`: the OpenAPI document as a page that needs no script and no other host."""

import json
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;"
    "margin:2rem auto;padding:0 1rem;color:#1c1e21}"
    "h2{margin-top:2rem;border-top:1px solid #ddd;padding-top:1rem;font-size:1.05rem}"
    "b{display:inline-block;min-width:3.5rem;color:#0a6c3d}"
    "code,pre{font-family:ui-monospace,monospace;font-size:13px}"
    "pre{background:#f6f7f9;padding:.8rem;overflow:auto;border-radius:6px}"
)


def render(document: dict[str, Any]) -> str:
    """A page of the operations and types of an OpenAPI document."""
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', ''))}</p>",
        "<p>Machine-readable: <a href='/openapi.json'>/openapi.json</a>."
        " Errors are problem+json with a code.</p>",
    ]
    for path, operations in document["paths"].items():
        parts += [_operation(method, path, operation) for method, operation in operations.items()]
    parts.append("<h2>Types</h2>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        parts.append(
            f"<h3 id='{escape(name)}'>{escape(name)}</h3>"
            f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"
        )
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    what = operation.get("description") or operation.get("summary", "")
    body = _type_of(operation.get("requestBody", {}))
    answers = ", ".join(
        f"{escape(status)} {_type_of(answer)}"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f"<h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2><p>{escape(what)}</p>"
        f"<p>{'Body: ' + body + '. ' if body else ''}Answers: {answers}.</p>"
    )


def _type_of(holder: dict[str, Any]) -> str:
    for media in holder.get("content", {}).values():
        reference = str(media.get("schema", {}).get("$ref", ""))
        if reference:
            name = escape(reference.rpartition("/")[2])
            return f"<a href='#{name}'>{name}</a>"
    return ""
