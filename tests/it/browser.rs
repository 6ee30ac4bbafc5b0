//! The dashboard in Chromium: by mouse, by keyboard, and on a phone's screen.

use serde_json::Value;

use crate::support::browser::{Browser, ENTER, TAB};
use crate::support::script::{fails, sh, succeeds};
use crate::support::{Hookbox, Running, github, until};

/// Widths at which pages are checked.
const DESK: u32 = 1280;
const PHONE: u32 = 375;

/// A job that is dead until it is retried.
fn with_a_dead_job() -> (Running, crate::support::Event) {
    let hookbox = Hookbox::new().handler("deploy", fails(5).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    (hookbox, event)
}

#[test]
fn dead_job_is_found_and_its_retry_seen_to_succeed() {
    let (hookbox, event) = with_a_dead_job();
    let browser = Browser::open(&hookbox, DESK);
    browser.go("/");
    browser.click(&browser.find(".tile.bad a"));
    assert_eq!(browser.path(), "/jobs?state=dead");
    browser.click(&browser.find_link("push"));
    assert_eq!(browser.text("h1"), "push");
    assert!(browser.text(".attempt pre").contains("not yet"), "{}", browser.text(".attempt"));
    browser.click(&browser.find(".title button.primary"));
    browser.find(".notice[role=status]");
    browser.run("window.isTheSamePage = true");
    browser.wait_for_text(".title .badge", "succeeded");
    browser.wait_for_text(".job-head .badge", "succeeded");
    assert!(browser.text(".attempts").contains("Attempt 6"), "{}", browser.text(".attempts"));
    assert_eq!(browser.run("return window.isTheSamePage"), Value::Bool(true), "it was not loaded again");
    assert!(browser.run("return document.querySelector('.dead-count')").is_null(), "nothing is dead any more");
    assert_eq!(hookbox.job(&event).attempt, 6);
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn hostile_text_is_displayed_and_does_nothing() {
    let script = "printf '<script>window.hacked=1</script>\\033[31m'; echo '\"><img src=x onerror=window.hacked=1>' >&2; exit 65";
    let hookbox = Hookbox::new().handler("deploy", sh(script)).expect_failures().start();
    let tag = "<img src=x onerror=window.hacked=1>";
    let body = format!("{{\"a\":\"</pre><script>window.hacked=1</script>\",\"b\":\"{tag}\"}}");
    let event =
        hookbox.deliver(github::push().with_id(tag).of_type("\"><script>window.hacked=1</script>").with_body(body));
    hookbox.wait_for(&event, "dead");
    hookbox.send(&github::push().forged().of_type(tag));
    hookbox.rows_of_refusals(1);
    let browser = Browser::open(&hookbox, DESK);
    let seq = 1;
    for path in [
        "/",
        "/events",
        "/jobs?state=dead",
        &format!("/events/{seq}"),
        "/jobs/retry?state=dead",
        "/refusals",
        "/refusals/1",
    ] {
        browser.go(path);
        browser.find("h1");
        let foreign = "return document.querySelectorAll('main script, main img, main iframe, main [onerror]').length";
        assert_eq!(browser.run(foreign), 0, "{path}");
        assert!(browser.run("return window.hacked").is_null(), "{path}");
    }
    browser.go(&format!("/events/{seq}"));
    assert!(browser.text(".attempts").contains("<script>window.hacked=1</script>\\u{1b}[31m"));
    assert!(browser.text("pre.body").contains("</pre><script>"));
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn everything_is_reachable_by_keyboard() {
    let (hookbox, event) = with_a_dead_job();
    let browser = Browser::open(&hookbox, DESK);
    browser.go("/");
    browser.press(TAB);
    assert_eq!(browser.focused(), "Skip to content");
    let place = browser.run("return document.activeElement.getBoundingClientRect().top");
    assert!(place.as_f64().unwrap() >= 0.0, "what has the focus is seen");
    browser.press(ENTER);
    tab_to(&browser, "Dead\n1");
    browser.press(ENTER);
    until("the list of jobs", || (browser.path() == "/jobs?state=dead").then_some(()));
    tab_to(&browser, "push");
    browser.press(ENTER);
    until("the event", || browser.path().starts_with("/events/").then_some(()));
    tab_to(&browser, "Retry");
    browser.press(ENTER);
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

/// Presses Tab until this has the focus. The focus must be visible at every stop.
fn tab_to(browser: &Browser, text: &str) {
    let mut passed = Vec::new();
    for _ in 0..80 {
        browser.press(TAB);
        let focused = browser.focused();
        let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
        assert!(outline != "none" || focused.starts_with("BODY"), "{focused:?} has the focus and does not show it");
        if focused == text {
            return;
        }
        passed.push(focused);
    }
    panic!("Tab never came to {text:?}: {passed:?}");
}

#[test]
fn every_page_fits_a_phone_and_is_accessible() {
    let (hookbox, _) = with_a_dead_job();
    hookbox.deliver(github::push().with_id(&"long".repeat(60)));
    hookbox.send(&github::push().forged());
    hookbox.rows_of_refusals(1);
    let browser = Browser::open(&hookbox, PHONE);
    let pages = ["/", "/events", "/events?text=x&since=1h", "/events/1", "/events/2", "/jobs", "/jobs?state=dead"];
    for path in pages.into_iter().chain([
        "/jobs/retry?state=dead",
        "/jobs/skip?jobs=1",
        "/jobs/retry/1767225600000?state=dead",
        "/refusals",
        "/refusals/1",
        "/sources",
        "/handlers",
    ]) {
        browser.go(path);
        browser.find("main h1");
        let width = browser.run("return document.documentElement.scrollWidth");
        assert!(width.as_u64().unwrap() <= u64::from(PHONE), "{path} is {width} wide");
        assert_eq!(browser.run(UNNAMED), Value::Array(vec![]), "{path}");
    }
    assert_eq!(browser.errors(), Vec::<String>::new());
}

/// Elements that a screen reader cannot name or place.
const UNNAMED: &str = "
    const wrong = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    if (all('h1').length !== 1) wrong.push('not one h1');
    if (all('main').length !== 1 || all('header').length < 1 || !all('nav[aria-label]').length) wrong.push('landmarks');
    if (!document.documentElement.lang || !document.title) wrong.push('language or title');
    for (const field of all('input:not([type=hidden]), select')) {
        if (!field.labels.length && !field.ariaLabel) wrong.push('no label: ' + field.outerHTML);
    }
    for (const button of all('button, a[href]')) {
        if (!button.innerText.trim() && !button.ariaLabel) wrong.push('no name: ' + button.outerHTML);
    }
    for (const table of all('table')) {
        if (!table.caption || !table.querySelector('th[scope]')) wrong.push('table: ' + table.className);
    }
    for (const named of all('[aria-labelledby]')) {
        for (const id of named.getAttribute('aria-labelledby').split(' ')) {
            if (!document.getElementById(id)) wrong.push('nothing is called ' + id);
        }
    }
    const ids = all('[id]').map((one) => one.id);
    if (new Set(ids).size !== ids.length) wrong.push('ids twice: ' + ids);
    const levels = all('h1, h2, h3, h4').map((one) => Number(one.nodeName[1]));
    levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push('heading skips a level'); });
    return wrong;";

#[test]
fn list_updates_and_keeps_the_focus() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let first = hookbox.deliver(github::push());
    hookbox.wait_for(&first, "succeeded");
    let browser = Browser::open(&hookbox, DESK);
    browser.go("/events");
    browser.wait_for_text("#live", "Live");
    browser.run("document.querySelector('tbody a').focus(); window.isTheSamePage = document.activeElement");
    browser.run("document.querySelector('#f-type').value = 'half typ'");
    let second = hookbox.deliver(github::push().of_type("issues"));
    hookbox.wait_for(&second, "succeeded");
    browser.wait_for_text("tbody tr:first-child .badge", "succeeded");
    until("the new row", || browser.text("tbody tr:first-child th").contains("issues").then_some(()));
    assert_eq!(browser.run("return document.activeElement === window.isTheSamePage"), Value::Bool(true));
    assert_eq!(browser.run("return document.querySelector('#f-type').value"), "half typ");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn selection_is_counted_and_survives_updates() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let events: Vec<_> = (0..2).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "dead"));
    let browser = Browser::open(&hookbox, DESK);
    browser.go("/jobs?state=dead");
    browser.wait_for_text("#live", "Live");
    let is_off = "return document.querySelector('#selection button').disabled";
    assert_eq!(browser.run(is_off), Value::Bool(true), "nothing is selected");
    browser.click(&browser.find("tbody tr:last-child [name=job]"));
    assert_eq!(browser.text("#selected-count"), "1 selected:");
    let third = hookbox.deliver(github::push());
    hookbox.wait_for(&third, "dead");
    until("the new row", || (browser.run("return document.querySelectorAll('tbody tr').length") == 3).then_some(()));
    until("the count again", || (browser.text("#selected-count") == "1 selected:").then_some(()));
    assert_eq!(browser.run(is_off), Value::Bool(false));
    browser.click(&browser.find("[data-select-all]"));
    assert_eq!(browser.text("#selected-count"), "3 selected:");
    browser.click(&browser.find("#selection button[value=skip]"));
    until("the question", || browser.path().starts_with("/jobs/skip?jobs=").then_some(()));
    assert_eq!(browser.text("h1"), "Skip 3 jobs?");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn login_leads_to_the_requested_page() {
    let token = "a-token-of-the-tests-0123456789";
    let hookbox = Hookbox::new().admin(&format!("token = \"{token}\"")).handler("deploy", succeeds()).start();
    let browser = Browser::open(&hookbox, PHONE);
    browser.go("/events");
    until("the login page", || browser.path().starts_with("/login").then_some(()));
    browser.run(&format!("document.querySelector('#token').value = '{token}'"));
    browser.click(&browser.find("button[type=submit]"));
    until("the events", || (browser.path() == "/events").then_some(()));
    browser.wait_for_text("#live", "Live");
    browser.click(&browser.find("form[action='/logout'] button"));
    until("the login page again", || browser.path().starts_with("/login").then_some(()));
    assert_eq!(browser.errors(), Vec::<String>::new());
}
