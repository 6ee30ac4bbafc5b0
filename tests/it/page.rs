//! docs/providers.md is what the table says: it is made from it here, and compared.
//!
//! `HOOKBOX_WRITE_DOCS=1 cargo test --test it page` writes it anew, after a row was added or changed.

use std::fmt::Write as _;
use std::path::Path;

use ::hookbox::internals::{self, ProviderRow, RequiredSettings, Scheme};

const README: &str = include_str!("../../README.md");
const FILE: &str = "docs/providers.md";

/// A provider that is supported.
struct Known {
    name: &'static str,
    row: &'static ProviderRow,
    scheme: Scheme,
}

#[test]
fn the_page_about_providers_is_what_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let page = page();
    if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert!(written == page, "{FILE} is out of date ({differs:?}): HOOKBOX_WRITE_DOCS=1 cargo test --test it page");
}

#[test]
fn the_readme_counts_the_providers_and_links_to_them() {
    let sentence = format!("It understands {} providers ([docs/providers.md]({FILE})", known().len());
    assert!(README.contains(&sentence), "the README does not say: {sentence}");
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
    page += "\n## Supported\n\n| provider | who | how it signs | window | event id | event type | source |\n";
    page += "| --- | --- | --- | --- | --- | --- | --- |\n";
    known.iter().for_each(|one| page += &line(one));
    page += "\n## Not yet\n\n| provider | who | why |\n| --- | --- | --- |\n";
    for (name, row) in internals::all() {
        if let Some(reason) = &row.unsupported {
            writeln!(page, "| `{name}` | {} | {} |", cell(&row.title), cell(reason)).unwrap();
        }
    }
    page += "\n## Settings that some need\n\n";
    page += "`hookbox init PROVIDER` writes them, and `hookbox check` says which are missing.\n\n";
    for (heading, text, is_meant) in SETTINGS {
        let names = listed(known.iter().filter(|one| is_meant(one)));
        writeln!(page, "**{heading}** {text}\n{names}.\n").unwrap();
    }
    page += "## Notes\n\n";
    for Known { name, row, .. } in known.iter().filter(|one| !one.row.notes.is_empty()) {
        writeln!(page, "- `{name}`: {}", row.notes).unwrap();
    }
    page
}

const HEAD: &str = "# Providers

<!-- Made from src/provider/table.toml. To write it anew: HOOKBOX_WRITE_DOCS=1 cargo test --test it page -->

Put the name of one into `hookbox.toml`:

```toml
[sources.github]
provider = \"github\"
secret = { env = \"GITHUB_WEBHOOK_SECRET\" }
```

`hookbox providers NAME` tells all that is known of one. To try one on your own machine, without the provider:

```sh
hookbox providers keygen sendgrid
hookbox send sendgrid --type test --key sendgrid.private.pem
```

The first makes a key pair, or a secret, and prints the lines for `hookbox.toml`; the second sends what the provider would
send, signed with it. Who is not here is a source with `provider = \"custom\"`: its `verify` table takes the same words
that describe these (see [hookbox.example.toml](../hookbox.example.toml)).

How to read the table:

- *Window*: how old a delivery may be, and how far ahead of your clock, where the provider signs the time. Without one, a
  delivery that someone has captured stays valid; its event id still lets it in only once.
- *Event id*, *event type*: where they are looked for, in this order. `body` is the SHA-256 of the body, `none` makes each
  delivery a new event. Parts of an id are joined with `:`, parts of a type with `.`.
- `*`: the signature does not cover it. Whoever has captured a delivery can send it again with another; for ids,
  `replay_guard = \"id+body\"` helps.
- *Source*: `confirmed` where the provider's own documentation or SDK was read, `unconfirmed` where others' code was.
";

type Meant = fn(&Known) -> bool;

const SETTINGS: &[(&str, &str, Meant)] = &[
    (
        "`url`",
        "is the address exactly as the provider has it, with its query: it is part of what is signed, or of a handshake.",
        |one| needs(one).url,
    ),
    ("`public_key`", "stands in place of `secret`. The provider shows it, in PEM, as hex or as base64:", |one| {
        needs(one).public_key
    }),
    (
        "Fetched keys.",
        "These publish their keys, which hookbox fetches and keeps; when that fails, the answer is 503:",
        |one| needs(one).keys_url,
    ),
    ("`key_id`", "names the key, or you, in what is signed:", |one| needs(one).key_id),
    ("`api_key`", "is part of what is signed, beside the secret:", |one| needs(one).api_key),
    (
        "`api_key` and `secret`",
        "are the client id and client secret of your application, without which the provider does not give its keys:",
        |one| needs(one).credentials,
    ),
    ("`verify_token`", "is a word of yours that the provider repeats when it first calls:", |one| {
        needs(one).verify_token
    }),
    ("`topics`", "are yours: without them, anyone could have the provider send about others:", |one| needs(one).topics),
    ("`algorithm`", "chooses among several, if you told the provider to use another than the first:", |one| {
        !one.row.algorithm_choices.is_empty() || !one.row.algorithm_names.is_empty()
    }),
    (
        "`hookbox learn SOURCE`",
        "believes, for ten minutes, the first call in which the provider says what the secret is:",
        |one| needs(one).secret.is_none(),
    ),
    ("Several events in one delivery.", "Each becomes an event of its own:", |one| one.scheme.batch.is_some()),
    (
        "No signature.",
        "The secret itself is sent, so only TLS protects it, and nothing of the delivery is signed:",
        |one| one.scheme.auth.is_token(),
    ),
];

fn needs(one: &Known) -> RequiredSettings {
    one.scheme.required_settings()
}

fn listed<'a>(some: impl Iterator<Item = &'a Known>) -> String {
    let names: Vec<_> = some.map(|one| format!("`{}`", one.name)).collect();
    assert!(!names.is_empty(), "a setting that nobody needs");
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

/// How it signs, in a few words.
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

/// Places as in the table, each marked that the signature does not cover.
fn places(written: &str, unsigned: &[String]) -> String {
    let entries = written.split(", else ").filter(|entry| !entry.is_empty());
    let marked = |entry: &str| {
        let is_unsigned = entry.split([' ']).any(|part| unsigned.iter().any(|own| own == part));
        format!("`{}`{}", cell(entry), if is_unsigned { " \\*" } else { "" })
    };
    entries.map(marked).collect::<Vec<_>>().join(", else ")
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
