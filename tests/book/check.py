#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""check.py BOOK [SCREENSHOTS]: looks at each page of a built book, as HTML and in Chromium at two widths, light and dark.

A link that leads nowhere, an image that is not there, a page or a table that does not fit, and text that is hard to read are
told, and the exit status is 1. At last it plants such mistakes in a copy of a page and sees whether it finds them. With
SCREENSHOTS, a directory, it writes pictures of all pages there.
"""
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from itertools import product
from os import close, pipe, read, write
from pathlib import Path
from urllib.parse import unquote, urlsplit

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


class Links(HTMLParser):
    """What a page refers to, and the names of its parts."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.names.add(value)


def check_links(book, pages):
    """A sentence for each link that leads nowhere."""
    parsed = {page: Links(page.read_text()) for page in pages}
    for page, contents in parsed.items():
        for link in contents.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file():
                yield f"{page.relative_to(book)}: the link {link} leads nowhere"
            elif parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].names:
                yield f"{page.relative_to(book)}: the link {link} leads to no part of that page"


def check_sources():
    """A sentence for each link of README.md that leads nowhere, and each page of docs/ that is not in the book."""
    readme = (REPOSITORY / "README.md").read_text()
    for piece in readme.split("](")[1:]:
        link = piece.split(")")[0]
        if not urlsplit(link).scheme and not (REPOSITORY / link.split("#")[0]).exists():
            yield f"README.md: the link {link} leads nowhere"
    summary = (REPOSITORY / "docs" / "SUMMARY.md").read_text()
    for page in sorted((REPOSITORY / "docs").rglob("*.md")):
        name = str(page.relative_to(REPOSITORY / "docs"))
        if name != "SUMMARY.md" and f"({name})" not in summary:
            yield f"docs/{name} is not in docs/SUMMARY.md"


class Browser:
    """Chromium, which is told what to do by its debugging protocol, over two pipes."""

    def __init__(self, profile):
        commands, self.commands = pipe()
        self.answers, answers = pipe()
        program = ["chromium-headless-shell", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--no-first-run", f"--user-data-dir={profile}", "--allow-file-access-from-files", "about:blank"]
        start = f'exec "$@" 3<&{commands} 4>&{answers}'
        self.process = subprocess.Popen(["bash", "-c", start, "bash", *program], pass_fds=(commands, answers),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        close(commands)
        close(answers)
        self.buffer, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def message(self):
        """The next thing that Chromium says."""
        while b"\0" not in self.buffer:
            more = read(self.answers, 1 << 16)
            if not more:
                sys.exit("check.py: Chromium has ended")
            self.buffer += more
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        write(self.commands, json.dumps(request).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"check.py: {method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, page):
        self.call("Page.navigate", url=page.as_uri())
        while self.message().get("method") != "Page.loadEventFired":
            pass

    def width(self, pixels):
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=False)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            sys.exit(f"check.py: {answer['exceptionDetails']}")
        return answer["result"]["value"]

    def picture(self, file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def end(self):
        self.call("Browser.close")
        self.process.wait()


def look(browser, book, pages, pictures=None):
    """A sentence for each thing that does not look right."""
    script = (HERE / "look.js").read_text()
    for scheme in SCHEMES:
        browser.scheme(scheme)
        for page, width in product(pages, WIDTHS):
            name = page.relative_to(book)
            browser.width(width)
            browser.open(page)
            for problem in browser.evaluate(script):
                yield f"{name}, {width} px, {scheme}: {problem}"
            if pictures:
                browser.picture(pictures / scheme / str(width) / name.with_suffix(".png"))


def mistakes_are_found(browser, book):
    """Whether the checks find what is planted in a copy of a page."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory).resolve() / "book"
        shutil.copytree(book, copy)
        page = copy / "planted.html"
        planted = ('<p><a href="nowhere.html">nowhere</a></p><img src="nowhere.svg" alt="nowhere">'
                   f'<div class="table-wrapper"><table><tr><td style="white-space:nowrap">{"planted " * 60}</td></tr></table></div>'
                   '<p style="color:#777;background:#888">grey</p>')
        text = (copy / "glossary.html").read_text()
        page.write_text(text.replace("</main>", planted + "</main>"))
        problems = [*check_links(copy, [page]), *look(browser, copy, [page])]
        for what in ("the link nowhere.html", "the image nowhere.svg", "390 px, light: a table", "1280 px, dark: a table", "hard to read"):
            if not any(what in problem for problem in problems):
                yield f"check.py does not find what was planted: {what}"


def main():
    book = Path(sys.argv[1]).resolve()
    pictures = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    pages = sorted(page for page in book.rglob("*.html") if page.name not in ("404.html", "print.html", "toc.html"))
    problems = [*check_sources(), *check_links(book, pages)]
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        problems += look(browser, book, pages, pictures)
        problems += mistakes_are_found(browser, book)
        browser.end()
    for problem in problems:
        print(problem)
    print(f"{len(pages)} pages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
