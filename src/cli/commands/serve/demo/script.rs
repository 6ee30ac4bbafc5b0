//! The demo's configuration, handlers, deliveries and expected results.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::model::event::JobState;
use crate::verify::Defect;

/// One delivery and its expected result.
pub(crate) struct DemoDelivery {
    pub(crate) source: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) id: &'static str,
    pub(crate) sent: &'static str,
    pub(crate) defect: Defect,
    pub(crate) expected: &'static str,
}

const fn genuine(source: &'static str, event_type: &'static str, id: &'static str) -> DemoDelivery {
    DemoDelivery { source, event_type, id, sent: "genuine", defect: Defect::None, expected: ACCEPTED }
}

const ACCEPTED: &str = "accepted";
const DUPLICATE: &str = "duplicate: acknowledged, not run again";
const REFUSED: &str = "refused";

pub(crate) const DELIVERIES: &[DemoDelivery] = &[
    genuine("github", "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    DemoDelivery {
        sent: "again",
        expected: DUPLICATE,
        ..genuine("github", "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    },
    DemoDelivery {
        sent: "forged",
        defect: Defect::WrongSignature,
        expected: REFUSED,
        ..genuine("github", "push", "0b2c9f4e-0000-4000-8000-00000000f03d")
    },
    genuine("github", "ping", "1f6e2c4a-cc78-11e3-9a5b-4c9367dc0958"),
    genuine("stripe", "invoice.paid", "evt_1PaidInTheDemo"),
    DemoDelivery { sent: "again", expected: DUPLICATE, ..genuine("stripe", "invoice.paid", "evt_1PaidInTheDemo") },
    DemoDelivery {
        sent: "stale",
        defect: Defect::Stale,
        expected: REFUSED,
        ..genuine("stripe", "invoice.paid", "evt_1StaleInTheDemo")
    },
    genuine("shopify", "orders/create", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    DemoDelivery {
        sent: "forged",
        defect: Defect::WrongSignature,
        expected: REFUSED,
        ..genuine("shopify", "orders/create", "b54557e4-0000-4b37-8a5f-00000000f03d")
    },
    genuine("slack", "app_mention", "Ev08MFMKH6"),
    DemoDelivery {
        sent: "stale",
        defect: Defect::Stale,
        expected: REFUSED,
        ..genuine("slack", "app_mention", "Ev08STALE6")
    },
    genuine("standard-webhooks", "user.deleted", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"),
];

impl DemoDelivery {
    /// Describes the response.
    pub(crate) fn meaning(&self, status: u16, body: &str) -> &'static str {
        match status {
            200 if body.contains(r#""status":"accepted""#) => ACCEPTED,
            200 if body.contains(r#""status":"duplicate""#) => DUPLICATE,
            401 => REFUSED,
            _ => "unexpected",
        }
    }
}

/// Expected handlers, attempt statuses in order, and job states.
const EXPECTED: &[(&str, &[&str], JobState)] = &[
    ("deploy", &["succeeded"], JobState::Succeeded),
    ("fulfil", &["failed", "succeeded"], JobState::Succeeded),
    ("ship", &["succeeded"], JobState::Succeeded),
    ("greet", &["succeeded"], JobState::Succeeded),
    ("purge", &["dead"], JobState::Dead),
];

/// Describes a job's result.
pub(crate) fn describe(statuses: &[&str], state: JobState) -> &'static str {
    match (state, statuses.len()) {
        (JobState::Succeeded, 1) => "handled",
        (JobState::Succeeded, _) => "failed, then retried and handled",
        (JobState::Dead, _) => "set aside: it can never succeed",
        (JobState::Pending | JobState::Running | JobState::Skipped, _) => "not handled",
    }
}

/// The result of one job.
pub(crate) struct JobResult {
    pub(crate) handler: String,
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) state: JobState,
}

/// Compares the jobs with the expected results.
pub(crate) fn unexpected(results: &[JobResult]) -> Vec<String> {
    let compare = |(handler, statuses, state): &(&str, &[&str], JobState)| {
        let expected = format!("{} ({state})", statuses.join(", "));
        let found = results.iter().find(|result| result.handler == *handler);
        let found =
            found.map_or("nothing".to_owned(), |result| format!("{} ({})", result.statuses.join(", "), result.state));
        (found != expected).then(|| format!("{handler}: {found} instead of {expected}"))
    };
    EXPECTED.iter().filter_map(compare).collect()
}

/// Writes configuration and handlers into the folder. Returns the configuration's path.
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

/// Secrets are random, so none in this file can be mistaken for a real one.
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
        "#!/bin/sh\n# Fails on the first attempt, as if a database were down.\ncat >/dev/null\n\
         if [ \"$HOOKBOX_ATTEMPT\" -lt 2 ]; then echo 'the database is down' >&2; exit 1; fi\n\
         echo \"fulfilled under $HOOKBOX_IDEMPOTENCY_KEY\"\n",
    ),
    ("ship.sh", "#!/bin/sh\necho \"shipping an order of $(wc -c | tr -d ' ') bytes\"\n"),
    ("greet.sh", "#!/bin/sh\ncat >/dev/null\necho \"hello, $HOOKBOX_EVENT_TYPE\"\n"),
    (
        "purge.sh",
        "#!/bin/sh\n# Reports that this event can never succeed, so that it is not retried.\ncat >/dev/null\n\
         echo '{\"dead\":\"no such user\"}' >\"$HOOKBOX_RESULT\"\nexit 1\n",
    ),
];
