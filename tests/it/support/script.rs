//! Handlers as small sh scripts. They run in the test's folder.

/// A script's lines. Every start first appends `EVENT_ID ATTEMPT` to `ledger/HANDLER`.
#[derive(Debug, Clone)]
pub struct Script(Vec<String>);

/// Any lines of sh.
pub fn sh(lines: &str) -> Script {
    Script(vec![lines.to_owned()])
}

/// Exits with 0.
pub fn succeeds() -> Script {
    exits(0)
}

/// Exits with this status.
pub fn exits(status: i32) -> Script {
    sh(&format!("exit {status}"))
}

/// Fails this many times, then runs what follows: `fails(2).then_succeeds()`.
pub fn fails(times: u32) -> Script {
    sh(&format!("if [ \"$HOOKBOX_ATTEMPT\" -le {times} ]; then echo \"not yet\" >&2; exit 1; fi"))
}

/// Writes the result file.
pub fn says(json: &str) -> Script {
    sh(&format!("cat > \"$HOOKBOX_RESULT\" <<'END'\n{json}\nEND"))
}

/// Records the exact stdin in `records/HANDLER.EVENT_ID.ATTEMPT.stdin`, and the environment in `.env`.
pub fn records() -> Script {
    sh(concat!(
        "to=\"records/$HOOKBOX_HANDLER.$HOOKBOX_EVENT_ID.$HOOKBOX_ATTEMPT\"\n",
        "env > \"$to.env\"\n",
        "cat > \"$to.part\" && mv \"$to.part\" \"$to.stdin\"",
    ))
}

/// Blocks at a FIFO until the test releases it. The name may contain variables.
pub fn waits_for(gate: &str) -> Script {
    sh(&format!(
        "gate=\"gates/{gate}\"\n[ -p \"$gate\" ] || mkfifo \"$gate\" 2>/dev/null\nread -r word < \"$gate\"\n: passed"
    ))
}

impl Script {
    /// Appends another script.
    pub fn then(mut self, next: Script) -> Self {
        self.0.extend(next.0);
        self
    }

    pub fn then_succeeds(self) -> Self {
        self.then(succeeds())
    }

    pub fn then_exits(self, status: i32) -> Self {
        self.then(exits(status))
    }

    /// The script file.
    pub fn text(&self) -> String {
        let ledger = "echo \"$HOOKBOX_EVENT_ID $HOOKBOX_ATTEMPT\" >> \"ledger/$HOOKBOX_HANDLER\"";
        format!("#!/bin/sh\n{ledger}\n{}\n", self.0.join("\n"))
    }
}
