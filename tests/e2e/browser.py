# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium for tests: Debian's, driven by selenium."""

import os
import shutil
import sys
import tempfile

from harness import need

sys.path.append("/usr/lib/python3/dist-packages")  # python3-selenium is there, and another python3 may come first in PATH
try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service as Driver
except ImportError:
    webdriver = None

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]


def start_browser(case, *flags, without=()):
    """A browser with a profile of its own that ends with the test; what its console says is kept. `without`: of our usual flags."""
    browser, driver = need("chromium"), need("chromedriver")
    if webdriver is None:
        if os.environ.get("CI"):
            case.fail("python3-selenium is not installed")
        case.skipTest("python3-selenium is not installed")
    profile = tempfile.mkdtemp(prefix="moongate-browser-")
    case.addCleanup(shutil.rmtree, profile, True)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in [*(flag for flag in FLAGS if flag not in without), "--user-data-dir=" + profile, *flags]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(service=Driver(driver), options=options)
    case.addCleanup(started.quit)
    return started
