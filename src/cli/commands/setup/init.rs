//! `init`: writes a first configuration and a first handler, to be edited by hand.
//!
//! `hookbox check` accepts the configuration once its secrets are in the environment. The next steps are printed on
//! stdout. An existing file is never changed.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::config::nearest;
use crate::providers::{self, CUSTOM, ProviderRow, RequiredSettings, Scheme};

const SCRIPT: &str = "handlers/on-event.sh";

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Providers, from `hookbox providers`, or "custom" for any other sender
    #[arg(value_name = "PROVIDER", default_value = "github")]
    providers: Vec<String>,
}

/// A `[sources.NAME]` section to write.
#[derive(Debug)]
struct PlannedSource<'a> {
    provider: &'a str,
    name: &'a str,
    /// Setting, environment variable and example of each secret.
    secrets: Vec<(&'static str, String, String)>,
    needs_url: bool,
    needs_topics: bool,
    /// The provider sends the secret in a handshake.
    is_enrolled: bool,
}

#[derive(Debug)]
enum InitResult {
    /// Everything was written; the next steps.
    Written(String),
    /// Nothing was written; the exit status and the error.
    Failed(u8, String),
}

/// Writes `file`, and the handler next to it.
pub(crate) fn run(args: &InitArgs, file: &Path) -> anyhow::Result<ExitCode> {
    match write_all(&args.providers, file)? {
        InitResult::Written(steps) => {
            write!(io::stdout(), "{steps}")?;
            Ok(ExitCode::SUCCESS)
        }
        InitResult::Failed(status, why) => {
            writeln!(io::stderr(), "error: {why}")?;
            Ok(ExitCode::from(status))
        }
    }
}

fn write_all(providers: &[String], file: &Path) -> anyhow::Result<InitResult> {
    let mut planned: Vec<PlannedSource<'_>> = Vec::new();
    for provider in providers {
        if let Some(reason) = providers::find(provider).and_then(|row| row.unsupported.as_deref()) {
            let hint = "`hookbox providers` lists supported providers";
            return Ok(InitResult::Failed(2, format!("`{provider}` is not supported yet: {reason}\nhint: {hint}")));
        }
        let Some(source) = plan(provider) else {
            let names = providers::names().chain([CUSTOM]);
            let near = nearest(provider, names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let hint = format!("{near}`hookbox providers` lists them; use \"custom\" for any other sender");
            return Ok(InitResult::Failed(2, format!("unknown provider `{provider}`\nhint: {hint}")));
        };
        if planned.iter().all(|earlier| earlier.name != source.name) {
            planned.push(source);
        }
    }
    let script = file.with_file_name(SCRIPT);
    for path in [file, &script] {
        if path.symlink_metadata().is_ok() {
            let hint = "move it, or write to another folder: hookbox --config FOLDER/hookbox.toml init";
            let message = format!("{} already exists; nothing was written\nhint: {hint}", path.display());
            return Ok(InitResult::Failed(1, message));
        }
    }
    if let Some(folder) = script.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    write_new(&script, SCRIPT_TEXT, 0o755)?;
    write_new(file, &configuration(&planned), 0o644)?;
    Ok(InitResult::Written(next_steps(&planned, file, &script)))
}

fn plan(provider: &str) -> Option<PlannedSource<'_>> {
    let name = if provider == CUSTOM { "app" } else { provider };
    let row = providers::find(provider);
    if row.is_none() && provider != CUSTOM {
        return None;
    }
    let needs = row.and_then(|row| Scheme::from_row(row).ok()).map(|scheme| scheme.required_settings());
    let is_needed = |is_it: fn(&RequiredSettings) -> bool| needs.as_ref().is_some_and(is_it);
    let upper = name.to_uppercase().replace('-', "_");
    let prefix = if upper.contains("WEBHOOK") { upper } else { format!("{upper}_WEBHOOK") };
    let mut secrets = Vec::new();
    let api_key = if is_needed(|needs| needs.credentials) { "the client id" } else { "the API key" };
    let mut add = |is_required: bool, key: &'static str, example: String| {
        if is_required {
            secrets.push((key, format!("{prefix}_{}", key.to_uppercase()), example));
        }
    };
    add(needs.is_none_or(|needs| needs.secret == Some(true) || needs.credentials), "secret", example_secret(row));
    add(is_needed(|needs| needs.public_key), "public_key", "$(cat public-key.pem)".to_owned());
    add(is_needed(|needs| needs.key_id), "key_id", "123456".to_owned());
    add(is_needed(|needs| needs.api_key || needs.credentials), "api_key", api_key.to_owned());
    add(is_needed(|needs| needs.verify_token), "verify_token", "$(openssl rand -hex 16)".to_owned());
    Some(PlannedSource {
        provider,
        name,
        secrets,
        needs_url: is_needed(|needs| needs.url),
        needs_topics: is_needed(|needs| needs.topics),
        is_enrolled: is_needed(|needs| needs.secret.is_none()),
    })
}

fn example_secret(row: Option<&ProviderRow>) -> String {
    let decoding = row.and_then(|row| row.secret_decoding.as_deref());
    if row.and_then(|row| Scheme::from_row(row).ok()).is_some_and(|scheme| scheme.required_settings().credentials) {
        return "the client secret".to_owned();
    }
    let random = match (row.map(|row| row.algorithm.as_str()), decoding) {
        (Some("basic"), _) => "hookbox:$(openssl rand -hex 32)",
        (_, Some("base64")) => "$(openssl rand -base64 32)",
        _ => "$(openssl rand -hex 32)",
    };
    format!("{}{random}", row.and_then(|row| row.secret_prefix.each().first()).map_or("", String::as_str))
}

/// Writes a new file, and fails if it exists.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

const SCRIPT_TEXT: &str = r#"#!/bin/sh
# Runs for every event, with the body on stdin and metadata in the environment.
# Exit status 0: done. 65: this event can never succeed. Any other: retry later.
# A retry runs the whole script again, so make it idempotent.
set -e

bytes=$(wc -c)
echo "$HOOKBOX_SOURCE sent $HOOKBOX_EVENT_TYPE with $((bytes)) bytes: event $HOOKBOX_EVENT_ID, attempt $HOOKBOX_ATTEMPT"
"#;

const HEAD: &str = "\
# What hookbox receives and runs. Validate this file with `hookbox check`.
# All other settings have defaults; hookbox.example.toml, next to hookbox's README, shows them.
";

const VERIFY: &str = "
# How this sender signs, and where the event's id and type are. Adapt it to the sender.
[sources.app.verify]
signature = \"header:X-Signature\"
algorithm = \"hmac-sha256\"
encoding = \"hex\"
signed_content = \"{body}\"
event_id = [\"json:/id\", \"body\"]
event_type = [\"json:/type\"]
";

const HANDLER: &str = "
[handlers.on-event]
command = [\"handlers/on-event.sh\"]
# events = [\"push\", \"release\"]   # globs; without this line, all types
# timeout = \"5m\"
";

fn configuration(planned: &[PlannedSource<'_>]) -> String {
    let mut text = HEAD.to_owned();
    for PlannedSource { provider, name, secrets, needs_url, needs_topics, is_enrolled } in planned {
        text += &format!("\n[sources.{name}]\nprovider = \"{provider}\"\n");
        for (key, variable, _) in secrets {
            text += &format!("{key} = {{ env = \"{variable}\" }}\n");
        }
        if *is_enrolled {
            text +=
                &format!("# The provider sends the secret: run `hookbox learn {name}`, then add the webhook there.\n");
        }
        if *needs_topics {
            text += "# Your topics: without this list, anyone could send from a topic of their own.\n";
            text += "topics = [\"arn:aws:sns:eu-west-1:123456789012:orders\"]\n";
        }
        if *needs_url {
            text += "# The URL as the provider has it, without the query: the signature covers it.\n";
            text += &format!("url = \"https://example.com/hooks/{name}\"\n");
        }
        text += &format!("# path = \"/hooks/{name}\"\n");
        if *provider == CUSTOM {
            text += VERIFY;
        }
    }
    text + HANDLER
}

fn next_steps(planned: &[PlannedSource<'_>], file: &Path, script: &Path) -> String {
    let is_default = file == Path::new("hookbox.toml") || std::env::var_os("HOOKBOX_CONFIG").is_some();
    let hookbox = if is_default { "hookbox".to_owned() } else { format!("hookbox --config {}", file.display()) };
    let mut text = format!("wrote {} and {}\n\n", file.display(), script.display());
    text += "Next, set the secrets. If the provider shows you a secret, use it.\nIf it asks for one, generate it and give it to both:\n\n";
    for (_, variable, example) in planned.iter().flat_map(|source| &source.secrets) {
        text += &format!("    export {variable}=\"{example}\"\n");
    }
    text +=
        &format!("\nThen validate the configuration and start hookbox:\n\n    {hookbox} check\n    {hookbox} serve\n");
    text += "\nIn another terminal with the same secrets, send a test delivery and list the events:\n\n";
    for PlannedSource { name, .. } in planned {
        let event_type = if *name == "github" { "push" } else { "test" };
        text += &format!("    {hookbox} send {name} --type {event_type}\n");
    }
    text + &format!("    {hookbox} events\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config;

    /// Returns the exit status and the output.
    fn init(providers: &[&str], folder: &Path) -> (u8, String) {
        let providers: Vec<_> = providers.iter().map(|name| (*name).to_owned()).collect();
        match write_all(&providers, &folder.join("hookbox.toml")).unwrap() {
            InitResult::Written(steps) => (0, steps),
            InitResult::Failed(status, why) => (status, why),
        }
    }

    /// Valid as text, hex and base64.
    const SECRET: &str = "abcdef0123456789";

    #[test]
    fn written_configuration_is_valid_for_every_provider() {
        let has_no_public_key =
            |row: &ProviderRow| Scheme::from_row(row).is_ok_and(|scheme| !scheme.required_settings().public_key);
        let rows = providers::all().filter(|(_, row)| has_no_public_key(row));
        let all: Vec<_> = rows.map(|(name, _)| name).chain([CUSTOM]).collect();
        for providers in all.iter().map(std::slice::from_ref).chain([&all[..]]) {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(init(providers, folder.path()).0, 0);
            let file = folder.path().join("hookbox.toml");
            // Basic credentials need a colon, which decoded secrets must not have.
            let is_basic = |name: &str| {
                let provider = name.trim_end_matches("_WEBHOOK_SECRET").to_lowercase().replace('_', "-");
                providers::find(&provider).is_some_and(|row| row.algorithm == "basic")
            };
            let environment =
                |name: &str| Some(if is_basic(name) { "user:word".to_owned() } else { SECRET.to_owned() });
            let config = config::read(&file, &environment).unwrap_or_else(|errors| panic!("{providers:?}: {errors}"));
            let written: Vec<_> = config.sources.iter().map(|source| source.provider.as_str()).collect();
            assert_eq!(written, providers);
            let mode = fs::metadata(folder.path().join(SCRIPT)).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111);
            let Err(unset) = config::read(&file, &|_| None) else { continue };
            let is_unset = |problem: &config::Problem| problem.message.ends_with("is not set");
            assert!(unset.problems().iter().all(is_unset), "only the secrets are missing: {unset}");
        }
    }

    #[test]
    fn existing_file_is_never_changed() {
        for existing in ["hookbox.toml", SCRIPT] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("handlers")).unwrap();
            fs::write(folder.path().join(existing), "mine").unwrap();
            let (status, why) = init(&["github"], folder.path());
            assert!(status == 1 && why.contains(&format!("{existing} already exists")), "{why}");
            assert_eq!(fs::read_to_string(folder.path().join(existing)).unwrap(), "mine");
            let other = if existing == SCRIPT { "hookbox.toml" } else { SCRIPT };
            assert!(!folder.path().join(other).exists());
        }
    }

    #[test]
    fn unknown_provider_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (status, why) = init(&["github", "githib"], folder.path());
        assert!(status == 2 && why.contains("did you mean `github`?"), "{why}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn repeated_provider_becomes_one_source() {
        let planned = [plan("standard-webhooks").unwrap(), plan("gitlab").unwrap()];
        let steps = next_steps(&planned, Path::new("hookbox.toml"), Path::new(SCRIPT));
        assert!(steps.contains("export STANDARD_WEBHOOKS_SECRET=\"whsec_$(openssl rand -base64 32)\"\n"), "{steps}");
        assert!(steps.contains("export GITLAB_WEBHOOK_SECRET=\"$(openssl rand -hex 32)\"\n"), "{steps}");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(init(&["gitlab", "gitlab"], folder.path()).0, 0);
    }
}
