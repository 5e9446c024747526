# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, told what to do by the WebDriver protocol of chromedriver."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One window. `with` ends it."""

    def __init__(self, profile):
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            for line in self._driver.stdout:
                found = re.search(r"started successfully on port (\d+)", line)
                if found:
                    break
            self._url = f"http://127.0.0.1:{found.group(1)}/session"
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
            arguments += ["--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage"]
            wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}, "pageLoadStrategy": "eager"}}
            self._url += "/" + self._post("", {"capabilities": wanted})["sessionId"]
        except BaseException:
            self._driver.kill()
            self._driver.communicate()
            raise

    def _post(self, path, what):
        request = urllib.request.Request(
            self._url + path, json.dumps(what).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=100) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self._post("/url", {"url": url})

    def run(self, script):
        """What JavaScript returns."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def screenshot(self):
        """The window as a PNG's bytes."""
        with urllib.request.urlopen(f"{self._url}/screenshot", timeout=100) as answer:
            return base64.b64decode(json.load(answer)["value"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            request = urllib.request.Request(self._url, method="DELETE")
            urllib.request.urlopen(request, timeout=100).close()
        finally:
            self._driver.terminate()
            self._driver.communicate(timeout=30)
