"""docs/webapps.rst shows all files of examples/web, and names what is in them."""

from __future__ import annotations

import re

from tests.support.webs import EXAMPLES, ROOT

PAGE = (ROOT / "docs" / "webapps.rst").read_text(encoding="utf-8")


def test_page_has_every_file_of_the_examples() -> None:
    included = set(re.findall(r"literalinclude:: \.\./examples/web/(\S+)", PAGE))
    named = set(re.findall(r"^``([\w.]+)`` +\w.*$", PAGE, re.MULTILINE))
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ini")}
    assert included == files
    assert files - {"uwsgi_hooks.py"} <= named


def test_page_names_what_is_in_the_files() -> None:
    for name, texts in {
        "feed.py": (
            "def health(",
            "def quote(",
            "def end_streams(",
            "FEED_URL",
            "X-Accel-Buffering",
        ),
        "gunicorn.conf.py": ("def post_worker_init(", "def worker_exit(", "graceful_timeout"),
        "uwsgi.ini": ("gevent = 200", "gevent-early-monkey-patch", "worker-reload-mercy"),
        "uwsgi_hooks.py": ("uwsgi.atexit", "lazy-apps", "postfork"),
    }.items():
        source = (EXAMPLES / name).read_text(encoding="utf-8")
        for text in texts:
            assert text in source
            assert text.removeprefix("def ").removesuffix("(") in PAGE
