//! `providers keygen`: generates a key pair or a secret, to try a source without its provider.
//!
//! It writes key files (the private key readable only by its owner), prints the lines for hookbox.toml on stdout and the
//! matching `send` command on stderr. It never overwrites a file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::init::write_new;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown};
use crate::config::nearest;
use crate::providers::{self, GeneratedKeys, ProviderRow, RequiredSettings, Scheme};

/// Names as in a row's `algorithm` or `jwt_algorithms`.
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
pub(crate) struct KeygenArgs {
    /// Name of a provider, or an algorithm such as ed25519 for a custom source
    #[arg(value_name = "PROVIDER|ALGORITHM")]
    pub(crate) target: Option<String>,
    /// Folder for the key files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

/// A source to generate keys for.
struct KeygenSource {
    name: String,
    /// Lines of [sources.NAME] without keys.
    lines: String,
    scheme: Scheme,
    /// Lines of [sources.NAME.verify].
    verify: Option<String>,
}

pub(crate) fn run(target: &str, args: &KeygenArgs, config: &Path) -> Result<(), Failure> {
    let planned = plan(target)?;
    if !args.out.as_os_str().is_empty() {
        std::fs::create_dir_all(&args.out)
            .map_err(|error| Failure::failed(format!("cannot create the folder {}: {error}", args.out.display())))?;
    }
    let at = |ending: &str| args.out.join(format!("{}.{ending}", planned.name));
    let (key, file, private) = match planned
        .scheme
        .generate_keys()
        .map_err(|why| Failure::failed(format!("cannot generate keys for `{target}`: {why}")))?
    {
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
    print(&planned, key, &config_path(&file, config), private.as_deref())
}

fn plan(target: &str) -> Result<KeygenSource, Failure> {
    if let Some(row) = providers::find(target) {
        if let Some(reason) = &row.unsupported {
            return Err(Failure::usage(format!("`{target}` is not supported yet: {reason}")));
        }
        let unusable = |_| Failure::failed(format!("the row of provider `{target}` is invalid"));
        let scheme = Scheme::from_row(row).map_err(unusable)?;
        let lines = format!("provider = \"{target}\"\n{}", extra_settings(target, scheme.required_settings()));
        return Ok(KeygenSource { name: target.to_owned(), lines, scheme, verify: None });
    }
    let Some(algorithm) = ALGORITHMS.into_iter().find(|algorithm| algorithm.eq_ignore_ascii_case(target)) else {
        let near = nearest(target, providers::names().chain(ALGORITHMS));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(Failure::usage(format!("there is no provider or algorithm `{}`", shown(target)))
            .hint(format!("{near}`hookbox providers` lists providers; algorithms are {}", ALGORITHMS.join(", "))));
    };
    let verify = verify_table(algorithm);
    let unusable = || Failure::failed(format!("the scheme of `{algorithm}` is invalid"));
    let row: ProviderRow = toml::from_str(&verify).map_err(|_| unusable())?;
    let scheme = Scheme::from_row(&row).map_err(|_| unusable())?;
    let lines = "provider = \"custom\"\n".to_owned();
    Ok(KeygenSource { name: algorithm.to_lowercase(), lines, scheme, verify: Some(verify) })
}

/// Returns a `verify` table that uses the algorithm.
fn verify_table(algorithm: &str) -> String {
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

/// Returns example values for the other settings that the provider requires.
fn extra_settings(name: &str, needs: RequiredSettings) -> String {
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

/// Writes all files, or none if one exists.
fn write_all(files: &[(&Path, &str, u32)]) -> Result<(), Failure> {
    if let Some((path, ..)) = files.iter().find(|(path, ..)| path.symlink_metadata().is_ok()) {
        return Err(Failure::failed(format!("{} already exists; nothing was written", path.display()))
            .hint("use it, move it, or choose another folder with --out"));
    }
    for (path, text, mode) in files {
        write_new(path, text, *mode)?;
        remark(format!("wrote {}", shown(&path.display().to_string())));
    }
    Ok(())
}

/// Returns the path relative to the configuration's folder, or else the absolute path.
fn config_path(file: &Path, config: &Path) -> String {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = absolute(file);
    file.strip_prefix(absolute(folder)).unwrap_or(&file).display().to_string()
}

fn print(planned: &KeygenSource, key: &str, file: &str, private: Option<&Path>) -> Result<(), Failure> {
    let KeygenSource { name, lines, verify, .. } = planned;
    let file = toml::Value::from(file);
    let mut out = io::stdout().lock();
    write!(out, "\n[sources.{name}]\n{lines}{key} = {{ file = {file} }}\n")?;
    if let Some(verify) = verify {
        write!(out, "\n[sources.{name}.verify]\n{verify}")?;
    }
    out.flush()?;
    remark("add these lines to hookbox.toml, then run while hookbox is running:");
    let key = private.map(|file| format!(" --key {}", shown(&file.display().to_string()))).unwrap_or_default();
    let event_type = if planned.scheme.event_type.alternatives.is_empty() { "" } else { " --type test" };
    remark(format!("  hookbox send {name}{event_type}{key}"));
    if private.is_some() {
        remark("the private key is only for `hookbox send`; a real provider has its own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::AuthMethod;

    #[test]
    fn every_algorithm_has_a_valid_scheme() {
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
