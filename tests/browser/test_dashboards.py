"""What a person sees: the form that explains itself, the result's picture, the experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live_servers import Live, wait_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.slow]


def text_of(browser: Chrome) -> str:
    from selenium.webdriver.common.by import By

    return browser.find_element(By.TAG_NAME, "body").text


def see(browser: Chrome, url: str, *words: str, seconds: float = 40.0) -> None:
    """Open the page and wait until all words can be read on it."""
    browser.get(url)
    try:
        wait_for(lambda: all(word in text_of(browser) for word in words), seconds)
    except TimeoutError:
        pytest.fail(f"{url} does not show {words}; it shows: {text_of(browser)[:2000]}")


def test_the_swap_form_explains_its_fields(live: Live, browser: Chrome) -> None:
    deployment = live.deployment("swap")
    see(
        browser,
        f"{live.addresses.prefect}/deployments/deployment/{deployment['id']}/run",
        "Source: the face to take",
        "an image key of the dataset, e.g. test-000/i00/a00",
        "Target: the character to put it on",
        "Only these parts",
        "Leave empty for all",
        "Detail, 0 to 1",
        "Shape, 0 to 1",
    )


def test_the_result_of_a_swap_is_a_picture(live: Live, browser: Chrome) -> None:
    from selenium.webdriver.common.by import By

    created = live.trigger("swap", {"source": "test-000/i02/a00", "target": "test-000/i03/a01"})
    run = live.finish(created.json()["id"])
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    artifact = live.artifacts(run["id"])["swap-picture"]
    browser.get(f"{live.addresses.prefect}/artifacts/artifact/{artifact['id']}")

    def shown() -> bool:
        pictures = browser.find_elements(By.CSS_SELECTOR, "img[src^='data:image/png']")
        script = "return arguments[0].complete && arguments[0].naturalWidth > 100"
        return any(browser.execute_script(script, picture) for picture in pictures)

    wait_for(shown, 40.0)


def test_the_experiment_shows_its_runs(live: Live, browser: Chrome) -> None:
    see(
        browser,
        f"{live.addresses.mlflow}/#/experiments/1/runs?workflowType=machine_learning",
        "facegraft",
        "train-",
    )


def test_the_report_page_stands_alone(live: Live, browser: Chrome) -> None:
    from selenium.webdriver.common.by import By

    from flows.report import write_report

    swaps = live.project.swaps
    page = write_report(live.project, swaps, {"MLflow": live.addresses.mlflow})
    see(browser, page.as_uri(), "Benchmark on 8 held-out pairs", "true swap", "Made from")
    broken = browser.execute_script(
        "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    )
    assert broken == 0
    assert len(browser.find_elements(By.TAG_NAME, "img")) >= 2
    assert 'src="http' not in page.read_text(encoding="utf-8")
