//! Chromium driven through chromedriver's WebDriver protocol: JSON over HTTP, so no further crate is needed.
//!
//! Errors that a page logs fail the test at its end.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::running::Running;
use super::wait::until;

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Private use characters that WebDriver interprets as keys.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";

/// One browser window.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    site: String,
}

/// An element of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element(String);

impl Browser {
    /// Opens a window of this width in pixels.
    pub fn open(hookbox: &Running, width: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; scripts/install-test-needs installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                line.rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver says its port");
        // Keep reading: a full pipe would block chromedriver.
        std::thread::spawn(move || lines.for_each(drop));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut browser =
            Self { driver, agent, session: format!("http://127.0.0.1:{port}/session"), site: String::new() };
        let chrome = json!({ "args": [
            // Containers forbid the namespaces of the sandbox; the browser opens only pages of hookbox.
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
            "--no-first-run", "--disable-background-networking", format!("--window-size={width},900"),
        ]});
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": chrome, "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.call("POST", "", &wanted);
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().expect("a session"));
        browser.site = format!("http://{}", hookbox.admin());
        // A headless window is at least 500 px wide, so the page's metrics are overridden.
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        browser.call("POST", "/goog/cdp/execute", &command);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_call(method, path, body);
        assert!(status == 200, "{method} {path} {body}: {answer}");
        answer
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.session);
        let sent = match method {
            "POST" => self.agent.post(&url).header("content-type", "application/json").send(body.to_string()),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.get(&url).call(),
        };
        let mut reply = sent.expect("chromedriver answers");
        let text = reply.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        (reply.status().as_u16(), answer["value"].clone())
    }

    /// Opens a page of the dashboard.
    pub fn go(&self, path: &str) {
        self.call("POST", "/url", &json!({ "url": format!("{}{path}", self.site) }));
    }

    /// The path of the current page.
    pub fn path(&self) -> String {
        let url = self.call("GET", "/url", &Value::Null);
        url.as_str().unwrap().strip_prefix(&self.site).expect("still on the dashboard").to_owned()
    }

    /// Runs the body of a JavaScript function and returns its result.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits for the first element that matches a CSS selector.
    pub fn find(&self, selector: &str) -> Element {
        self.wait_for("css selector", selector)
    }

    /// Waits for a link whose text contains this.
    pub fn find_link(&self, text: &str) -> Element {
        self.wait_for("partial link text", text)
    }

    fn wait_for(&self, using: &str, value: &str) -> Element {
        until(&format!("{value:?} on the page"), || {
            let (status, found) = self.try_call("POST", "/element", &json!({ "using": using, "value": value }));
            (status == 200).then(|| Element(found[ELEMENT].as_str().unwrap().to_owned()))
        })
    }

    pub fn click(&self, element: &Element) {
        self.call("POST", &format!("/element/{}/click", element.0), &json!({}));
    }

    /// The visible text of the first element that matches a selector; empty if there is none.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(selector));
        self.run(&script).as_str().unwrap().to_owned()
    }

    /// Waits until the first matching element has this text.
    pub fn wait_for_text(&self, selector: &str, text: &str) {
        until(&format!("{selector} to be {text:?}"), || (self.text(selector).trim() == text).then_some(()));
    }

    /// Presses a key in the focused element.
    pub fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] });
        self.call("POST", "/actions", &actions);
    }

    /// The text or name of the focused element.
    pub fn focused(&self) -> String {
        let script = "const e = document.activeElement; return (e.innerText || e.name || e.tagName).trim()";
        self.run(script).as_str().unwrap().to_owned()
    }

    /// Errors logged by pages since the last call, violations of the content security policy included.
    pub fn errors(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        lines.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Prints more about a failure.
            let script = json!({ "script": "return location + ' ' + document.body.innerText", "args": [] }).to_string();
            let sent = self.agent.post(&format!("{}/execute/sync", self.session)).send(script);
            let shown = sent.ok().and_then(|mut reply| reply.body_mut().read_to_string().ok());
            eprintln!("---- the browser shows:\n{}\n----", shown.unwrap_or_default().replace("\\n", "\n"));
        }
        self.agent.delete(&self.session).call().ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
