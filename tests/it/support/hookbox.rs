//! The test builder: a folder with a configuration and scripts, in which the real binary is started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::delivery::{PROVIDERS, secret_of};
use super::running::{Done, Running, finish};
use super::script::Script;

/// Five attempts without noticeable delay.
const QUICK_RETRY: &str = r#"retry = { attempts = 5, initial = "10ms", max = "50ms", jitter = 0.0 }"#;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hookbox");

/// The settings of one hookbox under test. Defaults are minimal.
#[must_use]
pub struct Hookbox {
    pub(super) folder: TempDir,
    sections: Vec<(&'static str, String)>,
    sources: Vec<(String, String)>,
    handlers: Vec<(String, String)>,
    raw: Option<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) options: Vec<String>,
    pub(super) expected: Vec<&'static str>,
    pub(super) allowed: Vec<&'static str>,
}

impl Hookbox {
    /// Every provider as a source of the same name, free ports, no handlers.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hookbox-test-").tempdir().unwrap();
        for name in ["handlers", "ledger", "records", "gates"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let sources = PROVIDERS.iter().map(|&provider| (provider.to_owned(), source_of(provider))).collect();
        Self {
            folder,
            sections: Vec::new(),
            sources,
            handlers: Vec::new(),
            raw: None,
            environment: Vec::new(),
            options: Vec::new(),
            expected: Vec::new(),
            allowed: Vec::new(),
        }
    }

    /// A line of `[server]`.
    pub fn server(mut self, line: &str) -> Self {
        self.sections.push(("server", line.to_owned()));
        self
    }

    /// A line of `[admin]`.
    pub fn admin(mut self, line: &str) -> Self {
        self.sections.push(("admin", line.to_owned()));
        self
    }

    /// A line of `[inbox]`.
    pub fn inbox(mut self, line: &str) -> Self {
        self.sections.push(("inbox", line.to_owned()));
        self
    }

    /// A line of `[dispatch]`.
    pub fn dispatch(mut self, line: &str) -> Self {
        self.sections.push(("dispatch", line.to_owned()));
        self
    }

    /// Adds a source, replacing one of the same name.
    pub fn source(mut self, name: &str, lines: &str) -> Self {
        self.sources.retain(|(other, _)| other != name);
        self.sources.push((name.to_owned(), lines.to_owned()));
        self
    }

    /// Further lines for a provider's source.
    pub fn source_with(self, provider: &'static str, lines: &str) -> Self {
        let lines = format!("{lines}\n{}", source_of(provider));
        self.source(provider, &lines)
    }

    /// Adds a handler for all events of all sources, with five quick attempts.
    pub fn handler(self, name: &str, script: Script) -> Self {
        self.handler_with(name, "", script)
    }

    /// Adds a handler with further settings.
    #[expect(clippy::needless_pass_by_value, reason = "scripts are written where they are handed over")]
    pub fn handler_with(mut self, name: &str, lines: &str, script: Script) -> Self {
        self.handlers.push((name.to_owned(), handler_lines(name, lines)));
        install(self.folder.path(), name, &script);
        self
    }

    /// Adds a handler without a script, from all its lines.
    pub fn handler_section(mut self, name: &str, lines: &str) -> Self {
        let retry = if lines.contains("retry") { "" } else { QUICK_RETRY };
        self.handlers.push((name.to_owned(), format!("{lines}\n{retry}")));
        self
    }

    /// Replaces the generated configuration.
    pub fn configured(mut self, text: &str) -> Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// Sets an environment variable of hookbox.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to `serve`.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Requires a warning or error in the log. Unannounced ones fail the test.
    pub fn expect_warning(mut self, part: &'static str) -> Self {
        self.expected.push(part);
        self
    }

    /// Requires failing attempts, which are logged as warnings or errors.
    pub fn expect_failures(self) -> Self {
        self.expect_warning(" attempt ")
    }

    /// Permits a warning or error that depends on timing.
    pub fn allow_warning(mut self, part: &'static str) -> Self {
        self.allowed.push(part);
        self
    }

    /// The folder with configuration, inbox and handlers.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration; returns its path.
    pub fn write(&self) -> PathBuf {
        let file = self.folder.path().join("hookbox.toml");
        fs::write(&file, self.raw.clone().unwrap_or_else(|| self.text())).unwrap();
        file
    }

    /// Starts `serve` and waits until it is ready.
    pub fn start(self) -> Running {
        let mut running = Running::prepare(self);
        running.start_again();
        running
    }

    /// Returns it without starting it, for tests that change how it starts.
    pub fn prepare(self) -> Running {
        Running::prepare(self)
    }

    /// Runs `serve`, which is expected to exit.
    pub fn refuse_to_start(&self) -> Done {
        self.write();
        finish(self.command().arg("serve").stdin(Stdio::null()))
    }

    /// Runs another verb without `serve`.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Done {
        finish(self.command().args(arguments).stdin(Stdio::null()))
    }

    /// hookbox with this configuration and an otherwise empty environment.
    pub fn command(&self) -> Command {
        self.command_under(&[])
    }

    pub(super) fn command_under(&self, wrapper: &[String]) -> Command {
        let mut words = wrapper.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOOKBOX_CONFIG", self.folder.path().join("hookbox.toml"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for section in ["server", "admin", "inbox", "dispatch"] {
            text.push_str(&format!("[{section}]\n"));
            if matches!(section, "server" | "admin") && !self.mentions(section, "listen") {
                text.push_str("listen = \"127.0.0.1:0\"\n");
            }
            if section == "inbox" && !self.mentions("inbox", "min_free_disk") {
                text.push_str("min_free_disk = \"1MiB\"\n");
            }
            for (_, line) in self.sections.iter().filter(|(name, _)| *name == section) {
                text.push_str(&format!("{line}\n"));
            }
        }
        for (name, lines) in &self.sources {
            text.push_str(&format!("\n[sources.{name}]\n{}\n", lines.replace("[verify]", &verify_heading(name))));
        }
        for (name, lines) in &self.handlers {
            text.push_str(&format!("\n[handlers.{name}]\n{lines}\n"));
        }
        text
    }

    fn mentions(&self, section: &str, key: &str) -> bool {
        self.sections.iter().any(|(name, line)| *name == section && line.starts_with(key))
    }
}

fn verify_heading(source: &str) -> String {
    format!("[sources.{source}.verify]")
}

/// The lines of a provider's source. `own` is a custom scheme in a `verify` table.
fn source_of(provider: &str) -> String {
    let secret = secret_of(provider);
    if provider != "own" {
        return format!("provider = \"{provider}\"\nsecret = \"{secret}\"");
    }
    format!(
        r#"provider = "custom"
secret = "{secret}"
[verify]
signature = "header:X-Signature"
algorithm = "hmac-sha256"
encoding = "hex"
signed_content = "{{timestamp}}/{{body}}"
timestamp = "header:X-Signed-At"
timestamp_unit = "s"
tolerance = "5m"
event_id = ["header:X-Id"]
event_type = ["header:X-Type"]"#
    )
}

/// The lines of a handler whose script is `handlers/NAME`.
pub fn handler_lines(name: &str, lines: &str) -> String {
    let mut text = format!("command = [\"handlers/{name}\"]\n{lines}");
    if !lines.contains("retry") {
        text.push_str(&format!("\n{QUICK_RETRY}"));
    }
    text
}

/// Writes a handler's executable script atomically.
pub fn install(folder: &Path, name: &str, script: &Script) {
    let (file, draft) = (folder.join("handlers").join(name), folder.join("handlers").join(format!(".{name}")));
    fs::write(&draft, script.text()).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&draft, &file).unwrap();
}
