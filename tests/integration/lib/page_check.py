#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""page_check.py PAGE [SCREENSHOT [dark]]: opens a file in headless Chromium and fails, saying why, unless

- no script error, no message of the console above a warning, nothing blocked by the page's own policy;
- no request but for the file itself (and data: URLs);
- every plot has a size and marks in it, all inside its frame, and no text of a plot is cut off by the frame.

Prints `N plots`. Speaks the DevTools protocol over a pipe: nothing listens anywhere.
"""
import base64
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

LIMIT_S = 60

LOOK = """(() => [...document.querySelectorAll('svg')].map(svg => {
  const frame = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll('circle, rect, path, line.interval, line.median')];
  const outside = [...svg.querySelectorAll('text, circle, rect, path')].filter(e => {
    const b = e.getBoundingClientRect();
    return b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1;
  }).map(e => e.tagName + ' ' + (e.textContent || e.getAttribute('d') || ''));
  const broken = /NaN|inf/i.test(svg.innerHTML.replace(/<text.*?<\\/text>/g, ''));
  return {plot: svg.dataset.plot, width: frame.width, height: frame.height, marks: marks.length, outside, broken};
}))()"""


class Browser:
    def __init__(self, profile):
        to_browser, self.out = os.pipe()
        self.inp, from_browser = os.pipe()

        def pipes():  # the protocol's descriptors are 3 and 4
            os.dup2(to_browser, 100)
            os.dup2(from_browser, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
             "--remote-debugging-pipe", "about:blank"],
            preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.events, self.number = b"", [], 0
        self.deadline = time.monotonic() + LIMIT_S

    def read(self):
        while b"\0" not in self.buffer:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.inp], [], [], left)[0]:
                sys.exit("page_check: the browser does not answer")
            data = os.read(self.inp, 1 << 20)
            if not data:
                sys.exit("page_check: the browser ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if session:
            request["sessionId"] = session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") == self.number:
                if "error" in message:
                    sys.exit(f"page_check: {method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait_for(self, method):
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.read())

    def close(self):
        os.close(self.out)
        os.close(self.inp)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()


def complaints(events, url):
    for e in events:
        method, p = e.get("method"), e.get("params", {})
        if method == "Runtime.exceptionThrown":
            yield f"script error: {p['exceptionDetails'].get('text')}"
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            yield f"console: {p['entry']['text']}"
        elif method == "Network.requestWillBeSent":
            asked = p["request"]["url"]
            if asked != url and not asked.startswith("data:"):
                yield f"request to {asked}"


def main():
    page = pathlib.Path(sys.argv[1]).resolve()
    url = page.as_uri()
    with tempfile.TemporaryDirectory(prefix="page-check.", ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
            session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.ask(f"{domain}.enable", session)
            browser.ask("Emulation.setDeviceMetricsOverride", session, width=1000, height=900, deviceScaleFactor=1,
                        mobile=False)
            if "dark" in sys.argv[3:]:
                browser.ask("Emulation.setEmulatedMedia", session,
                            features=[{"name": "prefers-color-scheme", "value": "dark"}])
            browser.ask("Page.navigate", session, url=url)
            browser.wait_for("Page.loadEventFired")
            plots = browser.ask("Runtime.evaluate", session, expression=LOOK, returnByValue=True)["result"]["value"]
            if len(sys.argv) > 2:
                shot = browser.ask("Page.captureScreenshot", session, captureBeyondViewport=True)["data"]
                pathlib.Path(sys.argv[2]).write_bytes(base64.b64decode(shot))
            wrong = list(complaints(browser.events, url))
        finally:
            browser.close()
    for p in plots:
        if not p.get("plot") or p["width"] < 100 or p["height"] < 20 or p["marks"] == 0 or p["broken"]:
            wrong.append(f"a plot that is not drawn: {p}")
        wrong += [f"{p['plot']}: outside its frame: {what}" for what in p["outside"]]
    for line in wrong:
        print(line)
    print(f"{len(plots)} plots")
    sys.exit(1 if wrong or not plots else 0)


main()
