//! What the demo plays: its configuration, its handlers, its deliveries, and what should come of each.
//!
//! Data and words only; the playing is in `mod`. Whatever differs from what stands here is a surprise, and the demo
//! fails by it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::model::event::JobState;
use crate::verify::Defect;

/// One delivery and what should come of it.
pub(crate) struct Act {
    pub(crate) source: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) id: &'static str,
    pub(crate) sent: &'static str,
    pub(crate) defect: Defect,
    pub(crate) expected: &'static str,
}

const fn act(source: &'static str, event_type: &'static str, id: &'static str) -> Act {
    Act { source, event_type, id, sent: "genuine", defect: Defect::None, expected: ACCEPTED }
}

const ACCEPTED: &str = "accepted";
const DUPLICATE: &str = "duplicate: acknowledged, not run again";
const REFUSED: &str = "refused";

/// In this order.
pub(crate) const ACTS: &[Act] = &[
    act("github", "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    Act { sent: "again", expected: DUPLICATE, ..act("github", "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958") },
    Act {
        sent: "forged",
        defect: Defect::WrongSignature,
        expected: REFUSED,
        ..act("github", "push", "0b2c9f4e-0000-4000-8000-00000000f03d")
    },
    act("github", "ping", "1f6e2c4a-cc78-11e3-9a5b-4c9367dc0958"),
    act("stripe", "invoice.paid", "evt_1PaidInTheDemo"),
    Act { sent: "again", expected: DUPLICATE, ..act("stripe", "invoice.paid", "evt_1PaidInTheDemo") },
    Act {
        sent: "stale",
        defect: Defect::Stale,
        expected: REFUSED,
        ..act("stripe", "invoice.paid", "evt_1StaleInTheDemo")
    },
    act("shopify", "orders/create", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    Act {
        sent: "forged",
        defect: Defect::WrongSignature,
        expected: REFUSED,
        ..act("shopify", "orders/create", "b54557e4-0000-4b37-8a5f-00000000f03d")
    },
    act("slack", "app_mention", "Ev08MFMKH6"),
    Act { sent: "stale", defect: Defect::Stale, expected: REFUSED, ..act("slack", "app_mention", "Ev08STALE6") },
    act("standard-webhooks", "user.deleted", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"),
];

impl Act {
    /// What the answer means, in words.
    pub(crate) fn meaning(&self, status: u16, body: &str) -> &'static str {
        match status {
            200 if body.contains(r#""status":"accepted""#) => ACCEPTED,
            200 if body.contains(r#""status":"duplicate""#) => DUPLICATE,
            401 => REFUSED,
            _ => "something else",
        }
    }
}

/// Handlers, their endings in order, and the state of their job.
const RUNS: &[(&str, &[&str], JobState)] = &[
    ("deploy", &["succeeded"], JobState::Succeeded),
    ("fulfil", &["failed", "succeeded"], JobState::Succeeded),
    ("ship", &["succeeded"], JobState::Succeeded),
    ("greet", &["succeeded"], JobState::Succeeded),
    ("purge", &["dead"], JobState::Dead),
];

/// What became of a job, in words.
pub(crate) fn in_words(endings: &[&str], state: JobState) -> &'static str {
    match (state, endings.len()) {
        (JobState::Succeeded, 1) => "handled",
        (JobState::Succeeded, _) => "failed, then retried and handled",
        (JobState::Dead, _) => "set aside: it can never work",
        (JobState::Pending | JobState::Running | JobState::Skipped, _) => "not handled",
    }
}

/// What ran otherwise than it should: handler, endings and final state of every job.
pub(crate) fn surprises(ran: &[(String, Vec<&str>, JobState)]) -> Vec<String> {
    let judge = |(handler, endings, state): &(&str, &[&str], JobState)| {
        let wanted = format!("{} ({state})", endings.join(", "));
        let got = ran.iter().find(|(name, ..)| name == handler);
        let got = got.map_or("nothing".to_owned(), |(_, endings, state)| format!("{} ({state})", endings.join(", ")));
        (got != wanted).then(|| format!("{handler}: {got} instead of {wanted}"))
    };
    RUNS.iter().filter_map(judge).collect()
}

/// Writes configuration and handlers into the folder; returns the configuration's path.
pub(crate) fn write(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir(folder.join("handlers"))?;
    for (name, text) in HANDLERS {
        let file = folder.join("handlers").join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    let file = folder.join("hookbox.toml");
    fs::write(&file, configuration())?;
    Ok(file)
}

/// Secrets are made up afresh, so that nothing here can be mistaken for one of somebody's.
fn configuration() -> String {
    let secret = || uuid::Uuid::new_v4().simple().to_string();
    let encoded = format!("whsec_{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret()));
    let source =
        |name: &str, secret: &str| format!("[sources.{name}]\nprovider = \"{name}\"\nsecret = \"{secret}\"\n\n");
    let handler = |name: &str, source: &str, event: &str, file: &str| {
        format!(
            "[handlers.{name}]\nsources = [\"{source}\"]\nevents = [\"{event}\"]\ncommand = [\"handlers/{file}\"]\n\
             retry = {{ attempts = 5, initial = \"200ms\", max = \"1s\", jitter = 0.1 }}\n\n"
        )
    };
    [
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n".to_owned(),
        source("github", &secret()),
        source("stripe", &format!("whsec_{}", secret())),
        source("shopify", &secret()),
        source("slack", &secret()),
        source("standard-webhooks", &encoded),
        handler("deploy", "github", "push", "deploy-on-push.sh"),
        handler("fulfil", "stripe", "invoice.*", "fulfil.sh"),
        handler("ship", "shopify", "orders/create", "ship.sh"),
        handler("greet", "slack", "app_mention", "greet.sh"),
        handler("purge", "standard-webhooks", "user.deleted", "purge.sh"),
    ]
    .concat()
}

const HANDLERS: &[(&str, &str)] = &[
    ("deploy-on-push.sh", include_str!("../../../../../handlers/deploy-on-push.sh")),
    (
        "fulfil.sh",
        "#!/bin/sh\n# Fails the first time, as if a database were away.\ncat >/dev/null\n\
         if [ \"$HOOKBOX_ATTEMPT\" -lt 2 ]; then echo 'the database is away' >&2; exit 1; fi\n\
         echo \"fulfilled under $HOOKBOX_IDEMPOTENCY_KEY\"\n",
    ),
    ("ship.sh", "#!/bin/sh\necho \"shipping an order of $(wc -c | tr -d ' ') bytes\"\n"),
    ("greet.sh", "#!/bin/sh\ncat >/dev/null\necho \"hello, $HOOKBOX_EVENT_TYPE\"\n"),
    (
        "purge.sh",
        "#!/bin/sh\n# Says that this event can never work, so that it is not tried again.\ncat >/dev/null\n\
         echo '{\"dead\":\"no such user\"}' >\"$HOOKBOX_RESULT\"\nexit 1\n",
    ),
];
