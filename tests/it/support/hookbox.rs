//! The one builder: a folder with a configuration and scripts, from which the real binary is started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::delivery::{PROVIDERS, secret_of};
use super::running::{Done, Running, finish};
use super::script::Script;

/// Five attempts within moments.
const QUICK_RETRY: &str = r#"retry = { attempts = 5, initial = "10ms", max = "50ms", jitter = 0.0 }"#;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hookbox");

/// What a test says about its hookbox; whatever it does not say is as small and quiet as can be.
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

    /// A source, in place of the one of that name.
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

    /// A handler for all events of all sources, retried five times within moments.
    pub fn handler(self, name: &str, script: Script) -> Self {
        self.handler_with(name, "", script)
    }

    /// A handler with settings of its own.
    #[expect(clippy::needless_pass_by_value, reason = "scripts are written where they are handed over")]
    pub fn handler_with(mut self, name: &str, lines: &str, script: Script) -> Self {
        self.handlers.push((name.to_owned(), handler_lines(name, lines)));
        install(self.folder.path(), name, &script);
        self
    }

    /// A handler without a script: all of its lines.
    pub fn handler_section(mut self, name: &str, lines: &str) -> Self {
        let retry = if lines.contains("retry") { "" } else { QUICK_RETRY };
        self.handlers.push((name.to_owned(), format!("{lines}\n{retry}")));
        self
    }

    /// The whole configuration, instead of all of the above.
    pub fn configured(mut self, text: &str) -> Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// A variable in the environment of hookbox.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A further argument of `serve`.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// A warning or error that will be logged; it must come, and none that was not announced may.
    pub fn expect_warning(mut self, part: &'static str) -> Self {
        self.expected.push(part);
        self
    }

    /// Attempts that fail, each of which is a warning or an error.
    pub fn expect_failures(self) -> Self {
        self.expect_warning(" attempt ")
    }

    /// A warning or error that may be logged or not, as chance will have it.
    pub fn allow_warning(mut self, part: &'static str) -> Self {
        self.allowed.push(part);
        self
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration; returns its path.
    pub fn write(&self) -> PathBuf {
        let file = self.folder.path().join("hookbox.toml");
        fs::write(&file, self.raw.clone().unwrap_or_else(|| self.text())).unwrap();
        file
    }

    /// Serves, and waits until it is ready.
    pub fn start(self) -> Running {
        let mut running = Running::prepare(self);
        running.start_again();
        running
    }

    /// Ready to be started, by a test that has something to say about how.
    pub fn prepare(self) -> Running {
        Running::prepare(self)
    }

    /// Runs `serve` where it is expected to give up by itself.
    pub fn refuse_to_start(&self) -> Done {
        self.write();
        finish(self.command().arg("serve").stdin(Stdio::null()))
    }

    /// Runs another verb without `serve`.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Done {
        finish(self.command().args(arguments).stdin(Stdio::null()))
    }

    /// hookbox with this configuration and an environment that holds nothing else.
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

/// The lines of a provider's source. `own` is a scheme of ours, in the user's own table.
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

/// Writes a handler's script, executable, in one step.
pub fn install(folder: &Path, name: &str, script: &Script) {
    let (file, draft) = (folder.join("handlers").join(name), folder.join("handlers").join(format!(".{name}")));
    fs::write(&draft, script.text()).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&draft, &file).unwrap();
}
