//! Generates docs/providers.md from the table and compares it with the file.
//!
//! After a row changes, `HOOKBOX_WRITE_DOCS=1 cargo test --test it providers_page` rewrites the file.

use std::fmt::Write as _;
use std::path::Path;

use ::hookbox::internals::{self, ProviderRow, RequiredSettings, Scheme};

const README: &str = include_str!("../../README.md");
const FILE: &str = "docs/providers.md";

/// A supported provider.
struct Known {
    name: &'static str,
    row: &'static ProviderRow,
    scheme: Scheme,
}

#[test]
fn providers_page_matches_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let page = page();
    if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert!(
        written == page,
        "{FILE} is out of date ({differs:?}): HOOKBOX_WRITE_DOCS=1 cargo test --test it providers_page"
    );
}

#[test]
fn readme_states_the_number_of_providers() {
    let sentence = format!("It understands {} providers ([docs/providers.md]({FILE})", known().len());
    assert!(README.contains(&sentence), "the README does not contain: {sentence}");
}

#[test]
fn every_row_is_on_the_page_once() {
    let page = page();
    for (name, _) in internals::all() {
        assert_eq!(page.matches(&format!("\n| `{name}` |")).count(), 1, "{name}");
    }
    assert!(page.contains("| `github` | GitHub | HMAC-SHA-256 in `X-Hub-Signature-256` |"));
}

fn known() -> Vec<Known> {
    let supported = internals::all().filter(|(_, row)| row.unsupported.is_none());
    supported.map(|(name, row)| Known { name, row, scheme: Scheme::from_row(row).unwrap() }).collect()
}

fn page() -> String {
    let known = known();
    let mut page = String::from(HEAD);
    page += "\n## Supported\n\n| provider | name | signature | window | event id | event type | source |\n";
    page += "| --- | --- | --- | --- | --- | --- | --- |\n";
    known.iter().for_each(|one| page += &line(one));
    page += "\n## Not supported yet\n\n| provider | name | reason |\n| --- | --- | --- |\n";
    for (name, row) in internals::all() {
        if let Some(reason) = &row.unsupported {
            writeln!(page, "| `{name}` | {} | {} |", cell(&row.title), cell(reason)).unwrap();
        }
    }
    page += "\n## Settings that some providers need\n\n";
    page += "`hookbox init PROVIDER` writes these settings, and `hookbox check` reports the ones that are missing.\n\n";
    for (heading, text, applies) in SETTINGS {
        let names = listed(known.iter().filter(|one| applies(one)));
        writeln!(page, "**{heading}** {text}\n{names}.\n").unwrap();
    }
    page += "## Notes\n\n";
    for Known { name, row, .. } in known.iter().filter(|one| !one.row.notes.is_empty()) {
        writeln!(page, "- `{name}`: {}", row.notes).unwrap();
    }
    page
}

const HEAD: &str = "# Providers

<!-- Generated from src/providers/table.toml by: HOOKBOX_WRITE_DOCS=1 cargo test --test it providers_page -->

Use a provider's name in `hookbox.toml`:

```toml
[sources.github]
provider = \"github\"
secret = { env = \"GITHUB_WEBHOOK_SECRET\" }
```

`hookbox providers NAME` shows all details of a provider. To try one on your own machine, without the provider:

```sh
hookbox providers keygen sendgrid
hookbox send sendgrid --type test --key sendgrid.private.pem
```

The first command generates a key pair or a secret and prints the lines for `hookbox.toml`. The second sends a delivery as
the provider would, signed with that key. For a provider that is not listed, use `provider = \"custom\"` and describe it in
the source's `verify` table, with the same keys as the rows of this table (see
[hookbox.example.toml](../hookbox.example.toml)).

The columns:

- *Window*: how far a signed timestamp may be in the past or future. Without a window, a captured delivery stays valid, but
  its event id is still accepted only once.
- *Event id*, *event type*: the selectors, in the order in which they are tried. `body` is the SHA-256 of the body, `none`
  makes each delivery a new event. Parts of an id are joined with `:`, parts of a type with `.`.
- `*`: the signature does not cover this value. Anyone who has captured a delivery can send it again with another value. For
  ids, `replay_guard = \"id+body\"` prevents this.
- *Source*: `confirmed` if the row was taken from the provider's own documentation or SDK, else `unconfirmed`.
";

type AppliesTo = fn(&Known) -> bool;

const SETTINGS: &[(&str, &str, AppliesTo)] = &[
    (
        "`url`",
        "is the URL as entered at the provider, or a list of up to 4. It is part of the signed content, or of a handshake:",
        |one| needs(one).url,
    ),
    ("`public_key`", "replaces `secret`. The provider shows it in PEM, hex or base64:", |one| needs(one).public_key),
    (
        "Fetched keys.",
        "hookbox fetches and caches the keys that these providers publish. If it cannot, it responds with 503:",
        |one| needs(one).keys_url,
    ),
    ("`key_id`", "is the name of the key, or of your account, in the signed content:", |one| needs(one).key_id),
    ("`api_key`", "is part of the signed content, in addition to the secret:", |one| needs(one).api_key),
    (
        "`api_key` and `secret`",
        "are the client id and client secret of your application. The provider requires them to return its keys:",
        |one| needs(one).credentials,
    ),
    ("`verify_token`", "is a text of your choice that the provider repeats in its first request:", |one| {
        needs(one).verify_token
    }),
    (
        "`topics`",
        "are the topics that you subscribed to. Without them, anyone could make the provider send events about theirs:",
        |one| needs(one).topics,
    ),
    ("`algorithm`", "chooses an algorithm, if the provider is configured to use another than the first:", |one| {
        !one.row.algorithm_choices.is_empty() || !one.row.algorithm_names.is_empty()
    }),
    (
        "`hookbox learn SOURCE`",
        "accepts, for ten minutes, the first handshake in which the provider sends its secret:",
        |one| needs(one).secret.is_none(),
    ),
    ("Several events in one delivery.", "Each is stored as a separate event:", |one| one.scheme.batch.is_some()),
    (
        "No signature.",
        "The secret itself is sent. Only TLS protects it, and nothing of the delivery is signed:",
        |one| one.scheme.auth.is_token(),
    ),
];

fn needs(one: &Known) -> RequiredSettings {
    one.scheme.required_settings()
}

fn listed<'a>(some: impl Iterator<Item = &'a Known>) -> String {
    let names: Vec<_> = some.map(|one| format!("`{}`", one.name)).collect();
    assert!(!names.is_empty(), "no provider needs this setting");
    names.join(", ")
}

fn line(Known { name, row, scheme }: &Known) -> String {
    let window = scheme.tolerance.map(|window| humantime::format_duration(window).to_string()).unwrap_or_default();
    let id = places(&internals::listed(&row.event_id, " : "), &scheme.unsigned_id());
    let event_type = places(&internals::listed(&row.event_type, " . "), &scheme.unsigned_type());
    let source = if row.confirmed { "confirmed" } else { "unconfirmed" };
    let cells = [&cell(&row.title), &signs(row), &window, &id, &event_type];
    let cells = cells.map(String::as_str).join(" | ");
    format!("| `{name}` | {cells} | {source} |\n")
}

/// Algorithm and location of the signature.
fn signs(row: &ProviderRow) -> String {
    let place =
        row.signature.each().iter().map(|place| format!("`{}`", place.strip_prefix("header:").unwrap_or(place)));
    let place = cell(&place.collect::<Vec<_>>().join(" or "));
    let how = match row.algorithm.as_str() {
        "token" => "the secret itself".to_owned(),
        "basic" => "user and password".to_owned(),
        "bearer" => "the secret as Bearer token".to_owned(),
        "jwt" => format!("JSON Web Token ({})", row.jwt_algorithms.join(", ")),
        "aws-sns" | "paypal" => "RSA".to_owned(),
        "ebay" => "ECDSA P-256".to_owned(),
        algorithm => algorithm_name(algorithm),
    };
    format!("{how} in {place}")
}

fn algorithm_name(algorithm: &str) -> String {
    match algorithm {
        "ed25519" => "Ed25519".to_owned(),
        "ecdsa-p256-sha256" => "ECDSA P-256".to_owned(),
        "hmac-md5" => "HMAC-MD5".to_owned(),
        other => other.to_uppercase().replace("SHA", "SHA-"),
    }
}

/// Selectors, with a star on those that the signature does not cover.
fn places(written: &str, unsigned: &[String]) -> String {
    let entries = written.split(", else ").filter(|entry| !entry.is_empty());
    let marked = |entry: &str| {
        let is_unsigned = entry.split([' ']).any(|part| unsigned.iter().any(|own| own == part));
        format!("`{}`{}", cell(entry), if is_unsigned { " \\*" } else { "" })
    };
    entries.map(marked).collect::<Vec<_>>().join(", else ")
}

/// Escapes the separator of cells.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
