//! How does a test open a page, click, type and take pictures? Headless Chromium, which takes its commands over a pair of
//! named pipes: `https://chromedevtools.github.io/devtools-protocol`.
//!
//! Its calls block: a test that serves the page itself needs a runtime of several threads.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, sleep},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::wait::PATIENCE;

/// How often a page is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// What was asked of a page that a click had just left: it is asked of the next one.
const LEFT: &str = "Inspected target navigated or closed";

/// A browser with one page. What its page complains of fails the test when this is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    sent: u64,
    complaints: Vec<String>,
    _directory: TempDir,
}

impl Browser {
    /// Starts one with an empty profile.
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let pipes = ["commands", "messages"].map(|name| directory.path().join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        let process = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<"$0/commands" 4>"$0/messages""#])
            .arg(directory.path())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--no-proxy-server", "--disable-background-networking", "--hide-scrollbars"])
            .args(["--remote-debugging-pipe", "--lang=en-US"])
            .arg(format!("--user-data-dir={}", directory.path().join("profile").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // each waits for the other end
        let commands = File::options().write(true).open(&pipes[0]).unwrap();
        let messages = read(File::open(&pipes[1]).unwrap());
        let (session, sent, complaints) = Default::default();
        let mut browser = Self { process, commands, messages, session, sent, complaints, _directory: directory };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command and waits for its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": parameters});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            self.listen(&message);
            if message["id"] == self.sent {
                if message["error"]["message"] == LEFT {
                    return self.call(method, parameters);
                }
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn listen(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters["exceptionDetails"].to_string()),
            // of the network a lost connection is what a test may be about
            Some("Log.entryAdded")
                if parameters["entry"]["level"] == "error" && parameters["entry"]["source"] != "network" =>
            {
                self.complaints.push(parameters["entry"].to_string());
            }
            _ => {}
        }
    }

    /// What the browser's pages complained of: exceptions, and what a policy forbade.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Opens a page and waits until it is there.
    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{answer}");
        self.until("the page is there", "document.readyState === 'complete'");
    }

    /// How large its window is, in CSS pixels.
    pub fn size(&mut self, width: u32, height: u32) {
        let is_phone = width < 500;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Whether its user prefers dark pages.
    pub fn prefer_dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Which languages its user prefers, as `Accept-Language` says it.
    pub fn prefer_languages(&mut self, accepted: &str) {
        self.call("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": accepted}}));
    }

    /// Whether pages may run scripts, from the next page on.
    pub fn allow_scripts(&mut self, are_allowed: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !are_allowed}));
    }

    /// The value of an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What is to be read at a place; empty where it is hidden.
    pub fn text(&mut self, selector: &str) -> String {
        let place = format!("document.querySelector({})", json!(selector));
        let text = self.value(&format!("{place}?.checkVisibility() ? {place}.innerText : {place} && ''"));
        text.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Waits until an expression is true. Between two pages it may fail.
    pub fn until(&mut self, what: &str, expression: &str) {
        let began = Instant::now();
        let attempt = format!("(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()");
        while self.value(&attempt) != true {
            assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            sleep(POLL);
        }
    }

    /// Clicks into the middle of what is at a place, as a mouse does.
    pub fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const el = document.querySelector({}); el.scrollIntoView({{block: 'center'}}); \
             const box = el.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let place = self.value(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", click);
        }
    }

    /// Types a text where the focus is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Takes a picture of its window.
    pub fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    /// Takes a picture into a file.
    pub fn save_picture(&mut self, path: &Path) {
        let picture = self.picture();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !thread::panicking() {
            assert!(self.complaints.is_empty(), "the page complained: {:#?}", self.complaints);
        }
    }
}

/// The messages, which end in a zero each.
fn read(pipe: File) -> Receiver<Value> {
    let (sender, messages) = channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let Ok(message) = message.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    messages
}
