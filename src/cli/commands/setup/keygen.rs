//! `providers keygen`: a key pair, or a secret, so that a source can be tried without its provider.
//!
//! A provider or an algorithm goes in. Files come out, the private one for its owner's eyes alone, and on stdout the lines
//! for hookbox.toml; stderr has the call of `send`. Nothing that exists is ever written over.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::commands::setup::init::write_new;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown};
use crate::config::nearest;
use crate::providers::{self, GeneratedKeys, ProviderRow, RequiredSettings, Scheme};

/// What an algorithm is called, in a row's `algorithm` or among its `jwt_algorithms`.
const ALGORITHMS: [&str; 12] = [
    "ed25519",
    "ecdsa-p256-sha256",
    "rsa-sha256",
    "rsa-sha1",
    "hmac-sha256",
    "hmac-sha512",
    "hmac-sha1",
    "EdDSA",
    "ES256",
    "RS256",
    "HS256",
    "HS512",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A provider's name, or an algorithm such as ed25519 for a custom source
    #[arg(value_name = "PROVIDER|ALGORITHM")]
    pub(crate) of: Option<String>,
    /// Where the files go
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

/// What keys are made for.
struct Planned {
    name: String,
    /// Lines of [sources.NAME], keys left out.
    lines: String,
    scheme: Scheme,
    /// Lines of [sources.NAME.verify].
    verify: Option<String>,
}

pub(crate) fn run(of: &str, args: &Args, config: &Path) -> Result<(), Failure> {
    let planned = plan(of)?;
    if !args.out.as_os_str().is_empty() {
        std::fs::create_dir_all(&args.out)
            .map_err(|error| Failure::failed(format!("cannot make the folder {}: {error}", args.out.display())))?;
    }
    let at = |ending: &str| args.out.join(format!("{}.{ending}", planned.name));
    let (key, file, private) =
        match planned.scheme.generate_keys().map_err(|why| Failure::failed(format!("no keys for `{of}`: {why}")))? {
            GeneratedKeys::Shared(secret) => {
                let file = at("secret");
                write_all(&[(&file, &line(secret.reveal()), 0o600)])?;
                ("secret", file, None)
            }
            GeneratedKeys::KeyPair { private, public } => {
                let (own, file) = (at("private.pem"), at("public.pem"));
                let file = if public.starts_with("-----") { file } else { at("public.txt") };
                write_all(&[(&own, private.reveal(), 0o600), (&file, &line(&public), 0o644)])?;
                ("public_key", file, Some(own))
            }
        };
    tell(&planned, (key, &placed(&file, config)), private.as_deref())
}

fn plan(of: &str) -> Result<Planned, Failure> {
    if let Some(row) = providers::find(of) {
        if let Some(reason) = &row.unsupported {
            return Err(Failure::usage(format!("`{of}` is not supported yet: {reason}")));
        }
        let unusable = |_| Failure::failed(format!("the row of provider `{of}` cannot be used"));
        let scheme = Scheme::from_row(row).map_err(unusable)?;
        let lines = format!("provider = \"{of}\"\n{}", further(of, scheme.required_settings()));
        return Ok(Planned { name: of.to_owned(), lines, scheme, verify: None });
    }
    let Some(algorithm) = ALGORITHMS.into_iter().find(|algorithm| algorithm.eq_ignore_ascii_case(of)) else {
        let near = nearest(of, providers::names().chain(ALGORITHMS));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(Failure::usage(format!("neither a provider nor an algorithm is called `{}`", shown(of)))
            .hint(format!("{near}`hookbox providers` lists providers; algorithms are {}", ALGORITHMS.join(", "))));
    };
    let verify = custom(algorithm);
    let unusable = || Failure::failed(format!("no scheme comes of `{algorithm}`"));
    let row: ProviderRow = toml::from_str(&verify).map_err(|_| unusable())?;
    let scheme = Scheme::from_row(&row).map_err(|_| unusable())?;
    let lines = "provider = \"custom\"\n".to_owned();
    Ok(Planned { name: algorithm.to_lowercase(), lines, scheme, verify: Some(verify) })
}

/// A `verify` table to begin with.
fn custom(algorithm: &str) -> String {
    let (signature, how) = match algorithm {
        "EdDSA" | "ES256" | "RS256" | "HS256" | "HS512" => (
            "header:X-Token",
            format!(
                "algorithm = \"jwt\"\njwt_algorithms = [\"{algorithm}\"]\n\
                 claims = {{ sha256 = \"{{sha256_hex(body)}}\" }}\nrequired_claims = [\"exp\"]"
            ),
        ),
        _ => ("header:X-Signature", format!("algorithm = \"{algorithm}\"")),
    };
    let has_pem = !algorithm.to_ascii_lowercase().starts_with('h');
    let decoding = if has_pem { "secret_decoding = \"pem\"\n" } else { "" };
    format!(
        "signature = \"{signature}\"\n{how}\n{decoding}event_id = [\"header:X-Event-Id\", \"body\"]\n\
         event_type = [\"header:X-Event-Type\"]\n"
    )
}

/// Settings that the provider or the user would choose, made up.
fn further(name: &str, needs: RequiredSettings) -> String {
    let settings = [
        (needs.key_id, "key_id = \"made-up-key\"\n".to_owned()),
        (needs.api_key, "api_key = \"made-up-api-key\"\n".to_owned()),
        (needs.verify_token, "verify_token = \"made-up-token\"\n".to_owned()),
        (needs.url, format!("url = \"https://example.com/hooks/{name}\"\n")),
        (needs.topics, "topics = [\"made-up-topic\"]\n".to_owned()),
    ];
    settings.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, line)| line).collect()
}

fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// Writes new files, or none.
fn write_all(files: &[(&Path, &str, u32)]) -> Result<(), Failure> {
    if let Some((path, ..)) = files.iter().find(|(path, ..)| path.symlink_metadata().is_ok()) {
        return Err(Failure::failed(format!("{} exists already; nothing was written", path.display()))
            .hint("keep using it, move it away, or say --out FOLDER"));
    }
    for (path, text, mode) in files {
        write_new(path, text, *mode)?;
        remark(format!("wrote {}", shown(&path.display().to_string())));
    }
    Ok(())
}

/// The path as the configuration finds it: relative to its own folder, or else from the root.
fn placed(file: &Path, config: &Path) -> String {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = whole(file);
    file.strip_prefix(whole(folder)).unwrap_or(&file).display().to_string()
}

fn tell(planned: &Planned, (key, file): (&str, &str), private: Option<&Path>) -> Result<(), Failure> {
    let Planned { name, lines, verify, .. } = planned;
    let file = toml::Value::from(file);
    let mut out = io::stdout().lock();
    write!(out, "\n[sources.{name}]\n{lines}{key} = {{ file = {file} }}\n")?;
    if let Some(verify) = verify {
        write!(out, "\n[sources.{name}.verify]\n{verify}")?;
    }
    out.flush()?;
    remark("put these lines into hookbox.toml, and while it is served:");
    let key = private.map(|file| format!(" --key {}", shown(&file.display().to_string()))).unwrap_or_default();
    let event_type = if planned.scheme.event_type.alternatives.is_empty() { "" } else { " --type test" };
    remark(format!("  hookbox send {name}{event_type}{key}"));
    if private.is_some() {
        remark("only `hookbox send` has use for the private key; a real provider has its own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::AuthMethod;

    #[test]
    fn every_algorithm_makes_a_scheme_of_its_own() {
        for algorithm in ALGORITHMS {
            let planned = plan(algorithm).unwrap_or_else(|failure| panic!("{algorithm}: {failure:?}"));
            let is_public = !algorithm.to_lowercase().starts_with('h');
            assert_eq!(planned.scheme.key_kind().is_some(), is_public, "{algorithm}");
            match (&planned.scheme.auth, algorithm.starts_with(char::is_uppercase)) {
                (AuthMethod::Signature(_), false) => {}
                (AuthMethod::Jwt(jwt), true) => assert_eq!(jwt.algorithms.len(), 1),
                (proof, _) => panic!("{algorithm}: {proof:?}"),
            }
        }
    }
}
