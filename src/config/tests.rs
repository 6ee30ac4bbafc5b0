//! Reads whole files, valid and invalid, and walks the keys of every section.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{
    Admission, Config, ConfigErrors, Durability, Mode, ProcessSettings, ReplayGuard, ResourceLimits, read,
    standard_webhooks_key,
};
use crate::providers::{Algorithm, Hash, ProviderRow, SignatureSyntax};
use crate::support::net::socket::Listen;
use crate::support::rate_limiter::Rate;

const SECRET: &str = "hunter2-hunter2";

/// A folder with `run.sh` (executable) and `plain.sh` (not), a file with a secret, and two variables.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, mode) in [("run.sh", 0o755), ("plain.sh", 0o644)] {
            folder.write(name, b"#!/bin/sh\n");
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        folder.write("secret.txt", format!("{SECRET}\n").as_bytes());
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path().join(name), content).unwrap();
    }

    fn read(&self, toml: &str) -> Result<Config, ConfigErrors> {
        self.write("hookbox.toml", toml.as_bytes());
        read(&self.path().join("hookbox.toml"), &|name| match name {
            "SET" => Some(SECRET.to_owned()),
            "EMPTY" => Some(String::new()),
            "PATH" => Some("/bin:/usr/bin".to_owned()),
            _ => None,
        })
    }

    /// `LINE KEY: MESSAGE (HINT) (HINT)` of every problem.
    fn problems(&self, toml: &str) -> Vec<String> {
        let errors = self.read(toml).err().map(|errors| errors.problems().to_vec()).unwrap_or_default();
        let line = |line: Option<usize>| line.map_or("-".to_owned(), |line| line.to_string());
        let hints = |hints: &[String]| hints.iter().map(|hint| format!(" ({hint})")).collect::<String>();
        errors
            .iter()
            .map(|problem| {
                let key = problem.key.as_deref().unwrap_or("-");
                format!("{} {key}: {}{}", line(problem.line), problem.message, hints(&problem.hints))
                    .replace(&self.path().display().to_string(), "FOLDER")
            })
            .collect()
    }
}

const GITHUB: &str = "[sources.github]\nprovider = \"github\"\nsecret = { env = \"SET\" }\n";
const RUN: &str = "[handlers.run]\ncommand = [\"./run.sh\"]\n";

#[test]
fn minimal_file_gets_every_default() {
    let folder = Folder::new();
    let config = folder.read(&format!("{GITHUB}{RUN}")).unwrap();
    assert_eq!(config.folder, folder.path());
    assert_eq!(config.server.listen, Listen::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!((config.server.max_body, config.server.max_in_flight), (8 << 20, 256 << 20));
    assert_eq!(config.server.request_timeout, Duration::from_secs(10));
    assert_eq!(config.admin.listen, Listen::Tcp("127.0.0.1:8081".parse().unwrap()));
    assert_eq!(config.inbox.path, folder.path().join("hookbox.db"));
    assert_eq!(config.inbox.durability, Durability::Full);
    assert_eq!((config.inbox.max_pending, config.inbox.min_free_disk), (1_000_000, 256 << 20));
    assert_eq!((config.dispatch.workers, config.dispatch.shutdown_grace), (16, Duration::from_secs(8)));

    let source = &config.sources[0];
    assert_eq!((&*source.name, source.provider.as_str(), source.path.as_str()), ("github", "github", "/hooks/github"));
    assert_eq!(source.max_body, 25 << 20);
    assert_eq!(source.secrets.iter().map(|secret| secret.reveal()).collect::<Vec<_>>(), [SECRET]);

    let handler = &config.handlers[0];
    assert_eq!(handler.command, [folder.path().join("run.sh").display().to_string()]);
    assert_eq!((&handler.filter.sources, &handler.filter.events[..]), (&None, &["*".to_owned()][..]));
    assert!(handler.filter.conditions.is_empty() && handler.env.is_empty());
    assert_eq!((handler.timeout, handler.concurrency), (Duration::from_secs(300), 4));
    assert_eq!(handler.cwd, folder.path());
    let policy = &handler.policy;
    assert_eq!((policy.attempts, policy.jitter, &policy.dead_exit_codes[..]), (25, 0.1, &[65][..]));
    assert_eq!((policy.initial, policy.max), (Duration::from_secs(3), Duration::from_secs(6 * 3600)));
}

#[test]
fn every_setting_is_read_as_written() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("data")).unwrap();
    let config = folder
        .read(
            r#"
[server]
listen = "unix:run/hookbox.sock"
max_body = "1MiB"
max_in_flight = "32MiB"
request_timeout = "3s"
trusted_proxies = ["10.1.2.3/8", "::1", "unix:"]
[admin]
listen = "[::1]:0"
[inbox]
path = "data/inbox.db"
durability = "normal"
max_pending = 7
min_free_disk = "0"
[dispatch]
workers = 3
shutdown_grace = "0s"
[sources.shop]
provider = "stripe"
secret = [{ env = "SET" }, { file = "secret.txt" }, "third"]
path = "/stripe/in"
tolerance = "10m"
event_id = [["json:/a", "json:/b"], "body"]
event_type = "json:/kind"
max_body = "2MiB"
allow_ips = ["192.0.2.0/24"]
rate_limit = "90/m"
replay_guard = "id+body"
[sources.app]
provider = "custom"
secret = "text"
event_id = "header:X-Id"
[sources.app.verify]
signature = "header:X-Signature"
algorithm = "hmac-sha256"
[handlers.b]
sources = ["shop"]
events = ["charge.*", "!charge.failed"]
command = ["sh", "-c", "true"]
cwd = "/tmp"
env = ["DATABASE_URL"]
timeout = "1s"
concurrency = 2
retry = { attempts = 1, initial = "1s", max = "1s", jitter = 0 }
dead_exit_codes = [2, 3]
umask = "027"
limits = { memory = "1GiB", cpu_time = "1500ms", open_files = 256 }
[handlers.b.where]
"/ref" = "main"
"/n" = [1, 2.5, true]
[handlers.a]
command = ["./run.sh"]
"#,
        )
        .unwrap();
    assert_eq!(config.server.listen, Listen::Unix(folder.path().join("run/hookbox.sock")));
    assert_eq!((config.server.max_body, config.server.max_in_flight), (1 << 20, 32 << 20));
    let proxies = &config.server.trusted_proxies;
    let trusts = |address: &str| proxies.networks.contain(address.parse().unwrap());
    assert!(proxies.unix && trusts("10.9.9.9") && trusts("::1") && !trusts("::2") && !trusts("11.0.0.0"));
    assert_eq!(config.admin.listen, Listen::Tcp("[::1]:0".parse().unwrap()));
    assert_eq!(config.inbox.path, folder.path().join("data/inbox.db"));
    assert_eq!((config.inbox.max_pending, config.inbox.min_free_disk), (7, 0));
    assert_eq!(config.inbox.durability, Durability::Normal);
    assert_eq!((config.dispatch.workers, config.dispatch.shutdown_grace), (3, Duration::ZERO));

    let names: Vec<_> = config.sources.iter().map(|source| &*source.name).collect();
    assert_eq!(names, ["shop", "app"], "in the order of the file");
    let [shop, app] = &config.sources[..] else { panic!("two sources") };
    assert_eq!((shop.path.as_str(), shop.max_body, app.max_body), ("/stripe/in", 2 << 20, 1 << 20));
    assert_eq!(shop.secrets.iter().map(|secret| secret.reveal()).collect::<Vec<_>>(), [SECRET, SECRET, "third"]);
    assert!(shop.admission.allow_ips.as_ref().unwrap().contain("192.0.2.255".parse().unwrap()));
    assert_eq!(shop.admission.rate_limit, Some(Rate { count: 90, per: Duration::from_secs(60) }));
    assert_eq!((shop.admission.replay_guard, &app.admission), (ReplayGuard::IdAndBody, &Admission::default()));
    assert_eq!(shop.scheme.tolerance, Some(Duration::from_secs(600)));
    assert_eq!((shop.scheme.event_id.alternatives.len(), shop.scheme.event_type.alternatives.len()), (2, 1));

    let names: Vec<_> = config.handlers.iter().map(|handler| &*handler.name).collect();
    assert_eq!(names, ["b", "a"], "in the order of the file");
    let handler = &config.handlers[0];
    assert_eq!(handler.filter.sources.as_deref(), Some(&["shop".to_owned()][..]));
    assert_eq!(handler.filter.events, ["charge.*", "!charge.failed"]);
    let conditions = serde_json::to_string(&handler.filter.conditions).unwrap();
    assert_eq!(conditions, r#"[["/ref",["main"]],["/n",[1,2.5,true]]]"#);
    assert_eq!(handler.command, ["sh", "-c", "true"]);
    assert_eq!((handler.cwd.as_path(), &handler.env[..]), (Path::new("/tmp"), &["DATABASE_URL".to_owned()][..]));
    assert_eq!((handler.policy.attempts, &handler.policy.dead_exit_codes[..]), (1, &[2, 3][..]));
    assert_eq!(handler.policy.jitter, 0.0);
    let limits = ResourceLimits { memory: Some(1 << 30), cpu_time: Some(2), open_files: Some(256) };
    assert_eq!(handler.process, ProcessSettings { run_as: None, umask: Some(0o027), limits });
    assert_eq!(config.handlers[1].process, ProcessSettings::default());
}

#[test]
fn all_problems_are_reported_together_with_their_lines() {
    let folder = Folder::new();
    let found = folder.problems(
        r#"[server]
listen = "localhost:8080"
max_bodi = "1MiB"
tls = {}

[dispatch]
workers = 0

[sources.github]
provider = "githib"
secret = { env = "GITHUB_WEBHOOK_SECRET" }

[sources.shop]
provider = "stripe"
secret = [
  { file = "none.txt" },
  5,
]

[handlers.deploy]
sources = ["githup", "shop"]
events = ["push["]
command = ["./plain.sh"]
timeout = 30
retry = { attempts = 0, jitter = 2 }

[nonsense]
"#,
    );
    let expected = [
        "2 server.listen: \"localhost:8080\" is not an address with a port",
        "3 server.max_bodi: unknown key (did you mean `max_body`?)",
        "4 server.tls.cert: is missing (tls = { cert = ",
        "4 server.tls.key: is missing (tls = { cert = ",
        "7 dispatch.workers: must be between 1 and 1024, is 0",
        "10 sources.github.provider: unknown provider \"githib\" (did you mean \"github\"?) (`hookbox providers`",
        "11 sources.github.secret: environment variable `GITHUB_WEBHOOK_SECRET` is not set (export it, or point \
         `secret` at a file with { file = \"…\" })",
        "16 sources.shop.secret[0]: cannot read FOLDER/none.txt: No such file or directory",
        "17 sources.shop.secret[1]: expected a string, { env = \"…\" } or { file = \"…\" }, or a list of these, found an integer",
        "21 handlers.deploy.sources[0]: there is no source `githup` (did you mean `github`?)",
        "22 handlers.deploy.events[0]: \"push[\" is not a glob",
        "23 handlers.deploy.command[0]: FOLDER/plain.sh is not executable (chmod +x FOLDER/plain.sh)",
        "24 handlers.deploy.timeout: expected a duration, found an integer",
        "25 handlers.deploy.retry.attempts: must be between 1 and 1000, is 0",
        "25 handlers.deploy.retry.jitter: must be between 0 and 1, is 2",
        "27 nonsense: unknown key (the sections of this file are",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn source_with_fetched_keys_needs_only_its_own_settings() {
    let folder = Folder::new();
    let sns = |rest: &str| format!("[sources.x]\nprovider = 'aws-sns'\n{rest}\n");
    let github = |rest: &str| format!("{GITHUB}{rest}\n");
    for (toml, expected) in [
        (sns(""), "1 sources.x.topics: is missing"),
        (sns("topics = []"), "3 sources.x.topics: the list is empty"),
        (sns("topics = ['']"), "3 sources.x.topics[0]: is empty"),
        (sns("topics = 'a'\nsecret = 's'"), "4 sources.x.secret: has no effect"),
        (sns("topics = 'a'\nkeys_url = 'http://keys.example'"), "4 sources.x.keys_url: is http://"),
        (sns("topics = 'a'\nconfirm_subscriptions = 1"), "4 sources.x.confirm_subscriptions: expected true or false"),
        (github("topics = 'a'"), "4 sources.github.topics: has no effect"),
        (github("keys_url = 'https://keys.example'"), "4 sources.github.keys_url: has no effect"),
        (github("methods = ['DELETE']"), "4 sources.github.methods[0]: \"DELETE\" is none of POST, PUT, GET"),
        (github("methods = []"), "4 sources.github.methods: the list is empty"),
        (github("verify = 'none'"), "3 sources.github.secret: has no effect"),
        (
            "[sources.x]\nprovider = 'custom'\nverify = 'none'\npath = '/hooks/secret-path-of-words'".to_owned(),
            "3 sources.x.verify: \"none\" would accept deliveries from anyone",
        ),
        (github("confirm_subscriptions = true"), "4 sources.github.confirm_subscriptions: has no effect"),
        ("[sources.x]\nprovider = 'paypal'".into(), "1 sources.x.key_id: is missing"),
    ] {
        let found = folder.problems(&toml);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{toml}{found:#?}");
    }
    let config =
        folder.read(&sns("topics = 'a'\nconfirm_subscriptions = true\nkeys_url = 'http://127.0.0.1:9'")).unwrap();
    let source = &config.sources[0];
    assert!(source.confirm_subscriptions && source.topics == ["a"] && source.keys_url.is_some());
    let taught = folder.read("[sources.x]\nprovider = 'asana'\n").unwrap();
    assert!(taught.sources[0].secrets.is_empty());
    assert!(folder.read("[sources.x]\nprovider = 'asana'\nsecret = 's'\n").is_ok());
}

#[test]
fn each_mistake_has_its_message() {
    let folder = Folder::new();
    folder.write("empty.txt", b"\n");
    folder.write("binary.txt", b"\xff\xfe");
    let source = |rest: &str| format!("{GITHUB}{rest}\n");
    let handler = |rest: &str| format!("{GITHUB}{RUN}{rest}\n");
    let secret = |rest: &str| format!("[sources.x]\nprovider = 'standard-webhooks'\nsecret = {rest}\n");
    let custom = |rest: &str| format!("[sources.x]\nprovider = 'custom'\nsecret = 'x'\n{rest}\n");
    let command = |rest: &str| format!("{GITHUB}[handlers.x]\n{rest}\n");
    let http = |rest: &str| command(&format!("mode = 'http'\nurl = 'http://a/b'\n{rest}"));
    let mut failures = Vec::new();
    let verify = "event_id = 'body'\n[sources.x.verify]\nsignature = 'header:X-Sig'\nalgorithm = 'hmac-sha256'\n";
    for (toml, expected) in [
        (String::new(), "- -: there is no source"),
        ("[sources]".into(), "- -: there is no source"),
        ("sources = 3".into(), "1 sources: expected a table, found an integer"),
        (
            source("[server]\ntrusted_proxies = ['10.0.0.0/33']"),
            "5 server.trusted_proxies[0]: \"10.0.0.0/33\" is not an IP",
        ),
        (source("[server]\ntrusted_proxies = '10.0.0.1'"), "5 server.trusted_proxies: expected a list of networks"),
        (source("allow_ips = ['github.com']"), "4 sources.github.allow_ips[0]: \"github.com\" is not an IP network"),
        (source("allow_ips = []"), "4 sources.github.allow_ips: the list is empty"),
        (source("rate_limit = '10'"), "4 sources.github.rate_limit: \"10\" is not a rate"),
        (source("rate_limit = '1/d'"), "4 sources.github.rate_limit: \"1/d\" is not a rate"),
        (source("rate_limit = '0/s'"), "4 sources.github.rate_limit: must be between 1 and 1000000 per unit"),
        (source("replay_guard = 'body'"), "4 sources.github.replay_guard: \"body\" is neither"),
        (
            source("[admin]\nlisten = '0.0.0.0:8081'"),
            "4 admin.token: is missing, and 0.0.0.0 is reachable from other machines",
        ),
        (source("[admin]\ntoken = 'fifteen letters'"), "5 admin.token: has fewer than 16 characters"),
        (source("[admin]\ntoken = 'a token with spaces in it'"), "5 admin.token: may contain only visible ASCII"),
        (
            source("[admin]\nhosts = ['https://a.example']"),
            "5 admin.hosts[0]: \"https://a.example\" is not a host name",
        ),
        (source("[admin]\nhosts = ['a.example:port']"), "5 admin.hosts[0]: \"a.example:port\" is not a host name"),
        (source("[admin]\nhosts = ['*.example']"), "5 admin.hosts[0]: \"*.example\" is not a host name"),
        (source("[admin]\nlisten = '127.0.0.1:8080'"), "5 admin.listen: is also the address of [server]"),
        (source("[server]\nlisten = 'unix:'"), "5 server.listen: `unix:` has no path"),
        (source(&format!("[server]\nlisten = 'unix:/{}'", "x".repeat(120))), "5 server.listen: the path of the socket"),
        (source("[server]\nmax_in_flight = '1MiB'"), "5 server.max_in_flight: 1.0 MiB is less than the largest body"),
        (source("[server]\nrequest_timeout = '0s'"), "5 server.request_timeout: must be between"),
        (source("[inbox]\npath = 'nodir/x.db'"), "5 inbox.path: the inbox's folder, "),
        (source("[inbox]\npath = 'plain.sh/x.db'"), "5 inbox.path: the inbox's folder, "),
        (source("[inbox]\npath = ''"), "5 inbox.path: is empty"),
        (source("[inbox]\npath = 'x/'"), "5 inbox.path: \"x/\" is a folder"),
        (source("[inbox]\ndurability = 'none'"), "5 inbox.durability: \"none\" is neither"),
        (source("[alerts]\ncommand = []"), "5 alerts.command: names no program"),
        (source("[alerts]\nsilence = '6h'"), "5 alerts.silence: has no effect"),
        (source("silence = 'never'"), "4 sources.github.silence: has no effect"),
        (source("[alerts]\nurl = 'hooks.example/x'"), "5 alerts.url: does not begin with https://"),
        (
            source("[alerts]\nurl = 'https://hooks.example/x'\ncommand = ['/bin/sh']"),
            "5 alerts.url: cannot be combined with `command`",
        ),
        (source("path = 'x'"), "4 sources.github.path: \"x\" does not start with a slash"),
        (source("path = '/x?y'"), "4 sources.github.path: \"/x?y\" must be a path without"),
        (source("path = '/ü'"), "4 sources.github.path: \"/ü\" may contain only visible ASCII"),
        (source("tolerance = '5m'"), "4 sources.github.tolerance: has an effect only with `timestamp`"),
        (source("event_id = []"), "4 sources.github.event_id: the list is empty"),
        (source("event_id = ['heder:x']"), "4 sources.github.event_id: `heder:x` is not a selector"),
        (source("event_id = 3"), "4 sources.github.event_id: expected a selector"),
        (source("event_type = [3]"), "4 sources.github.event_type[0]: expected a selector"),
        (source("[sources.github.verify]"), "4 sources.github.verify: is only read with provider = \"custom\""),
        (
            source(&GITHUB.replace("github]", "b]\npath = '/hooks/github'")),
            "5 sources.b.path: \"/hooks/github\" is also",
        ),
        (source("[sources.'a b']\nprovider = 'github'\nsecret = 'x'"), "4 sources.\"a b\": is not a valid name"),
        ("[sources.x]\nsecret = 'x'".into(), "1 sources.x.provider: is missing"),
        ("[sources.x]\nprovider = 'github'".into(), "1 sources.x.secret: is missing"),
        (secret("''"), "3 sources.x.secret: is empty"),
        (secret("[]"), "3 sources.x.secret: the list is empty"),
        (secret("{}"), "3 sources.x.secret: expected a string"),
        (secret("true"), "3 sources.x.secret: expected a string"),
        (secret("{ env = 'EMPTY' }"), "3 sources.x.secret: environment variable `EMPTY` is empty"),
        (secret("{ env = 'UNSET' }"), "3 sources.x.secret: environment variable `UNSET` is not set"),
        (secret("{ env = 'SET', file = 'x' }"), "3 sources.x.secret: names both"),
        (secret("{ env = '' }"), "3 sources.x.secret.env: is empty"),
        (secret("{ evn = 'SET' }"), "3 sources.x.secret.evn: unknown key (did you mean `env`?)"),
        (secret("{ file = 'empty.txt' }"), "3 sources.x.secret: FOLDER/empty.txt is empty"),
        (secret("{ file = 'binary.txt' }"), "3 sources.x.secret: FOLDER/binary.txt is not UTF-8 text"),
        (secret("{ file = '.' }"), "3 sources.x.secret: cannot read FOLDER: Is a directory"),
        (secret("'no base64!'"), "3 sources.x.secret: is not base64"),
        (custom(""), "1 sources.x.verify: is missing"),
        (custom(&verify.replace("event_id = 'body'", "")), "1 sources.x.event_id: is missing"),
        (
            custom("event_id = 'body'\n[sources.x.verify]\nalgorithm = 'token'"),
            "5 sources.x.verify.signature: is missing",
        ),
        (custom(&verify.replace("sha256", "md4")), "7 sources.x.verify.algorithm: `hmac-md4` is none of"),
        (
            custom(&format!("{verify}encodign = 'hex'")),
            "8 sources.x.verify.encodign: unknown key (did you mean `encoding`?)",
        ),
        (custom(&format!("{verify}encoding = 5")), "8 sources.x.verify.encoding: invalid type: integer `5`"),
        (
            custom(&format!("{verify}[handlers.h]\ncommand = ['sh']\nevents = ['push']")),
            "10 handlers.h.events: no source can reach this handler",
        ),
        (handler("sources = []"), "6 handlers.run.sources: the list is empty, so no source can reach this handler"),
        (
            handler("sources = 'github'"),
            "6 handlers.run.sources: expected a list of names, e.g. [\"github\"], found a string",
        ),
        (
            handler("sources = ['shop']"),
            "6 handlers.run.sources[0]: there is no source `shop` (add a section [sources.shop])",
        ),
        (handler("events = []"), "6 handlers.run.events: the list is empty, so this handler takes no event"),
        (handler("events = ['!']"), "6 handlers.run.events[0]: \"!\" matches no type"),
        (handler("where = { ref = 'x' }"), "6 handlers.run.where.ref: \"ref\" is not a JSON pointer"),
        (handler("where = { '/a~2' = 'x' }"), "6 handlers.run.where.\"/a~2\": \"/a~2\" is not a JSON pointer"),
        (handler("where = { '/a' = [] }"), "6 handlers.run.where.\"/a\": the list is empty"),
        (
            handler("where = { '/a' = [{}] }"),
            "6 handlers.run.where.\"/a\"[0]: expected a string, a number or a boolean",
        ),
        (handler("where = { '/a' = nan }"), "6 handlers.run.where.\"/a\": is not a number that JSON can represent"),
        (handler("cwd = 'none'"), "6 handlers.run.cwd: cannot run in FOLDER/none: No such file"),
        (handler("cwd = 'run.sh'"), "6 handlers.run.cwd: FOLDER/run.sh is not a folder"),
        (handler("env = ['A=b']"), "6 handlers.run.env[0]: \"A=b\" is not the name of a variable"),
        (handler("timeout = '0s'"), "6 handlers.run.timeout: must be between 1ms and"),
        (handler("concurrency = 0"), "6 handlers.run.concurrency: must be between 1 and 1024, is 0"),
        (
            handler("retry = { initial = '1h', max = '1m' }"),
            "6 handlers.run.retry.initial: `initial` (1h) is longer than `max` (1m)",
        ),
        (handler("retry = 5"), "6 handlers.run.retry: expected a table, found an integer"),
        (handler("dead_exit_codes = [0]"), "6 handlers.run.dead_exit_codes[0]: must be between 1 and 255, is 0"),
        (
            handler("mode = 'shell'"),
            "6 handlers.run.mode: \"shell\" is not a mode (the modes are \"command\", \"worker\"",
        ),
        (
            handler("max_jobs = 5"),
            "6 handlers.run.max_jobs: has no effect with mode = \"command\" (remove it, or set mode = \"worker\")",
        ),
        (handler("mode = 'http'\nurl = 'http://a'"), "5 handlers.run.command: has no effect with mode = \"http\""),
        (handler("url = 'http://a'"), "6 handlers.run.url: has no effect with mode = \"command\""),
        (handler("mode = 'worker'\nsecret = 'whsec_MDEyMzQ1Njc4OWFiY2RlZg=='"), "7 handlers.run.secret: has no effect"),
        (handler("mode = 'worker'\ndead_exit_codes = [65]"), "7 handlers.run.dead_exit_codes: has no effect with mode"),
        (command("mode = 'worker'"), "4 handlers.x.command: is missing"),
        (command("mode = 'http'"), "4 handlers.x.url: is missing (url = \"http://127.0.0.1:3000/webhooks\")"),
        (http("env = ['A']"), "7 handlers.x.env: has no effect with mode = \"http\" (remove it, or set mode ="),
        (http("max_jobs = 5"), "7 handlers.x.max_jobs: has no effect"),
        (http("dead_exit_codes = [65]"), "7 handlers.x.dead_exit_codes: has no effect"),
        (http("secret = 'hunter2'"), "7 handlers.x.secret: is not whsec_ and the base64 of 16 to 128 bytes (make one:"),
        (http("secret = 'whsec_aHVudGVyMg=='"), "7 handlers.x.secret: is not whsec_ and the base64 of 16 to 128 bytes"),
        (http("secret = { env = 'UNSET' }"), "7 handlers.x.secret: environment variable `UNSET` is not set"),
        (http("headers = { 'a b' = 'x' }"), "7 handlers.x.headers.\"a b\": \"a b\" is not the name of a header"),
        (http("headers = { Webhook-Id = 'x' }"), "7 handlers.x.headers.Webhook-Id: hookbox sets this header itself"),
        (http("headers = { Host = 'x' }"), "7 handlers.x.headers.Host: hookbox sets this header itself"),
        (http("headers = { X = \"a\\nb\" }"), "7 handlers.x.headers.X: contains characters that a header cannot carry"),
        (http("headers = { X = ['a', 'b'] }"), "7 handlers.x.headers.X: has several values"),
        (http("ca_file = 'none.pem'"), "7 handlers.x.ca_file: cannot read FOLDER/none.pem: No such file"),
        (http("ca_file = 'run.sh'"), "7 handlers.x.ca_file: FOLDER/run.sh contains no certificate"),
        (http("connect_timeout = '0s'"), "7 handlers.x.connect_timeout: must be between 1ms"),
        (command("mode = 'http'\nurl = '127.0.0.1:80'"), "6 handlers.x.url: does not begin with http://"),
        (command("mode = 'http'\nurl = 'ftp://a'"), "6 handlers.x.url: does not begin with http://"),
        (command("mode = 'http'\nurl = 'http://a/#b'"), "6 handlers.x.url: has a fragment, which is never sent"),
        (
            command("mode = 'http'\nurl = 'http://u:p@a/'"),
            "6 handlers.x.url: contains a password, which would appear in logs",
        ),
        (command(""), "4 handlers.x.command: is missing"),
        (command("command = []"), "5 handlers.x.command: names no program"),
        (command("command = 'run.sh'"), "5 handlers.x.command: expected a list with one argument each"),
        (command("command = [5, 'x']"), "5 handlers.x.command[0]: expected a string, found an integer"),
        (command("command = ['run.sh']"), "5 handlers.x.command[0]: `run.sh` is not in PATH (a program in this file's"),
        (command("command = [\"sh\", \"a\\u0000b\"]"), "5 handlers.x.command[1]: contains a NUL character"),
    ] {
        let found = folder.problems(&toml);
        if found.len() != 1 || !found[0].starts_with(expected) {
            failures.push(format!("{toml}\n{found:#?}\nis not\n{expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn each_mode_has_its_own_settings() {
    let folder = Folder::new();
    let mode = |settings: &str| folder.read(&format!("{GITHUB}[handlers.x]\n{settings}")).unwrap().handlers[0].clone();
    assert_eq!(mode("command = ['sh']\nmode = 'command'").mode, Mode::Command);
    assert_eq!(mode("command = ['sh']\nmode = 'worker'").mode, Mode::Worker { max_jobs: None });
    let recycled = mode("command = ['sh', '-c', 'x']\nmode = 'worker'\nmax_jobs = 9\nenv = ['A']");
    assert_eq!((&recycled.mode, recycled.command.len()), (&Mode::Worker { max_jobs: Some(9) }, 3));
    let Mode::Http(plain) = &mode("mode = 'http'\nurl = 'https://a.example/b?token=x'").mode else { panic!() };
    assert_eq!((plain.url.as_str(), plain.shown()), ("https://a.example/b?token=x", "https://a.example/b"));
    assert_eq!((plain.secrets.len(), plain.headers.len(), plain.connect_timeout), (0, 0, Duration::from_secs(10)));
    let authority = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert;
    folder.write("ca.pem", format!("{}{}", authority.pem(), authority.pem()).as_bytes());
    let Mode::Http(full) = &mode(
        "mode = 'http'\nurl = 'http://127.0.0.1:1'\nconnect_timeout = '1s'\nca_file = 'ca.pem'\n\
         secret = ['whsec_MDEyMzQ1Njc4OWFiY2RlZg==', 'MDEyMzQ1Njc4OWFiY2RlZjAxMg']\n\
         headers = { X-Api-Key = { env = 'SET' }, User-Agent = 'me' }",
    )
    .mode
    else {
        panic!()
    };
    let keys: Vec<_> = full.secrets.iter().filter_map(standard_webhooks_key).collect();
    assert_eq!(keys, [b"0123456789abcdef".to_vec(), b"0123456789abcdef012".to_vec()]);
    let headers: Vec<_> = full.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("X-Api-Key", SECRET), ("User-Agent", "me")]);
    assert_eq!((full.authorities.len(), full.connect_timeout), (2, Duration::from_secs(1)));
    assert_eq!(full.authorities[0], authority.der().to_vec());
}

#[test]
fn custom_scheme_reports_all_its_problems() {
    let folder = Folder::new();
    let found = folder.problems(
        "[sources.x]
provider = 'custom'
secret = 'x'
[sources.x.verify]
signature = 'header:X-Sig'
algorithm = 'hmac-sha256'
syntax = 5
encodign = 'hex'
event_id = ['json:/id', 7]
prefix = []
",
    );
    let expected = [
        "7 sources.x.verify.syntax: invalid type: integer `5`, expected a string",
        "8 sources.x.verify.encodign: unknown key (did you mean `encoding`?)",
        "9 sources.x.verify.event_id[1]: expected a selector",
        "10 sources.x.verify.prefix: invalid type: sequence, expected a string",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{found:#?}");

    let found = folder.problems(
        "[sources.x]
provider = 'custom'
secret = 'x'
event_id = 'body'
[sources.x.verify]
signature = 'X-Sig'
algorithm = 'hmac-sha256'
encodign = 'hex'
encoding = 'hex64'
event_type = 'type'
",
    );
    let lines: Vec<_> = found.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "6 sources.x.verify.signature",
            "8 sources.x.verify.encodign",
            "9 sources.x.verify.encoding",
            "10 sources.x.verify.event_type",
        ]
    );
}

#[test]
fn syntax_errors_look_like_other_problems() {
    let folder = Folder::new();
    for (toml, expected) in [
        ("[server\nlisten = 5\n", &["1 -: unclosed table, expected `]`"][..]),
        ("a = \"x\n\n\nb = y\n", &["1 -: invalid basic string, expected `\"`", "4 -: string values must be quoted"]),
        ("[server]\nworkers = 1\n\nworkers = 2\n", &["4 -: duplicate key"]),
        ("[sources.x]\nsecret = [\n 'a'\n 'b'\n 'c'\n]\n", &["4 -: missing comma between array elements"]),
    ] {
        let found = folder.problems(toml);
        assert_eq!(found.len(), expected.len(), "{toml}{found:#?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{toml}{found:#?}");
    }
    fs::write(folder.path().join("bad.toml"), b"a = 1\nb = \"\xff\"\n").unwrap();
    let errors = read(&folder.path().join("bad.toml"), &|_| None).unwrap_err();
    assert!(errors.to_string().ends_with("bad.toml:2: is not UTF-8 text"), "{errors}");
    let errors = read(Path::new("none.toml"), &|_| None).unwrap_err().to_string();
    assert!(errors.starts_with("error: none.toml: cannot be read: No such file or directory"), "{errors}");
}

#[test]
fn one_trailing_newline_of_a_secret_file_is_dropped() {
    let folder = Folder::new();
    for (content, secret) in
        [("a", "a"), ("a\n", "a"), ("a\n\n", "a\n"), (" a \r\n", " a "), ("a\r", "a\r"), ("a\nb\n", "a\nb")]
    {
        folder.write("secret.txt", content.as_bytes());
        let config = folder.read("[sources.x]\nprovider = 'github'\nsecret = { file = 'secret.txt' }\n").unwrap();
        assert_eq!(config.sources[0].secrets[0].reveal(), secret, "{content:?}");
    }
}

#[test]
fn no_error_contains_a_secret() {
    let folder = Folder::new();
    for secret in [
        format!("'{SECRET}'"),
        format!("['{SECRET}', '{SECRET}!']"),
        "{ env = 'SET' }".to_owned(),
        "[{ file = 'secret.txt' }, 7]".to_owned(),
        format!("'{SECRET}"),
        SECRET.to_owned(),
        format!("['{SECRET}' '{SECRET}']"),
        format!("\"{SECRET}\\q\""),
    ] {
        for provider in ["standard-webhooks", "github", "nobody"] {
            let toml = format!("[sources.x]\nprovider = '{provider}'\nsecret = {secret}\ntolerance = 3\n");
            let errors = folder.read(&toml).unwrap_err();
            assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
        }
    }
    let config = folder.read(&format!("{GITHUB}{RUN}")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn settings_a_scheme_lacks_or_does_not_use_are_reported() {
    let folder = Folder::new();
    let problems =
        |provider: &str, rest: &str| folder.problems(&format!("[sources.x]\nprovider = '{provider}'\n{rest}\n"));
    let p256 = "public_key = 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=='";
    for (provider, rest, expected) in [
        ("square", "secret = 'x'", "1 sources.x.url: is missing"),
        ("square", "secret = 'x'\nurl = 'shop.example'", "4 sources.x.url: does not begin with https://"),
        ("square", "secret = 'x'\nurl = 'https://a.example/#x'", "4 sources.x.url: has a fragment"),
        (
            "github",
            "secret = 'x'\nurl = 'https://a.example/'",
            "4 sources.x.url: has no effect: deliveries of this provider",
        ),
        ("github", "secret = 'x'\nkey_id = 'x'", "4 sources.x.key_id: has no effect"),
        ("github", "secret = 'x'\nverify_token = 'x'", "4 sources.x.verify_token: has no effect"),
        (
            "github",
            "secret = 'x'\nalgorithm = 'hmac-sha1'",
            "4 sources.x.algorithm: \"hmac-sha1\" is not an algorithm of this",
        ),
        ("pusher", "secret = 'x'", "1 sources.x.key_id: is missing"),
        ("livekit", "secret = 'x'", "1 sources.x.api_key: is missing"),
        ("sendgrid", "", "1 sources.x.public_key: is missing"),
        (
            "sendgrid",
            &format!("{p256}\nsecret = 'x'"),
            "4 sources.x.secret: has no effect: deliveries of this provider are verified with `public_key`",
        ),
        ("sendgrid", "public_key = 'YWJj'", "3 sources.x.public_key: is not a public key of the kind"),
        ("sendgrid", "public_key = '!'", "3 sources.x.public_key: is neither a public key in PEM"),
        (
            "sendgrid",
            "public_key = { env = 'UNSET' }",
            "3 sources.x.public_key: environment variable `UNSET` is not set (export it, or point `public_key` at",
        ),
        ("postmark", "secret = 'x'", "3 sources.x.secret: is not `user:password`"),
        (
            "contentful",
            "secret = 'x'",
            "2 sources.x.provider: \"contentful\" is not supported yet: its signature covers",
        ),
    ] {
        let found = problems(provider, rest);
        assert!(found.iter().any(|found| found.starts_with(expected)), "{provider} {rest}: {found:#?}");
    }
    let read = |provider: &str, rest: &str| {
        let config = folder.read(&format!("[sources.x]\nprovider = '{provider}'\n{rest}\n"));
        Arc::clone(&config.unwrap_or_else(|errors| panic!("{errors}")).sources[0])
    };
    assert_eq!(read("sendgrid", p256).public_keys.len(), 1);
    assert_eq!(read("pusher", "secret = 'x'\nkey_id = ['a', 'b']").key_ids.len(), 2);
    let square = read("square", "secret = 'x'\nurl = 'https://a.example/x?y=1'");
    assert_eq!(square.urls, ["https://a.example/x?y=1"]);
    let braintree = read("braintree", "secret = 'x'\nkey_id = 'pub'");
    assert!(matches!(&braintree.scheme.syntax, SignatureSyntax::KvList { field, .. } if field == "pub"));
    let chosen = read("cloudinary", "secret = 'x'\nalgorithm = 'sha256'");
    assert_eq!(chosen.scheme.template_signature().unwrap().algorithm, Algorithm::Digest(Hash::Sha256));
    let pinned = read("sumsub", "secret = 'x'\nalgorithm = 'hmac-sha512'");
    assert_eq!(pinned.scheme.template_signature().unwrap().by_header.as_ref().unwrap().names.len(), 1);
    let fusionauth = read("fusionauth", &format!("algorithm = 'ES256'\n{p256}"));
    assert!(fusionauth.scheme.required_settings().own_keys && fusionauth.keys_url.is_none());
    let hosted = read("fusionauth", "algorithm = 'RS256'\nkeys_url = 'https://auth.example/.well-known/jwks.json'");
    assert!(hosted.public_keys.is_empty() && hosted.keys_url.is_some());
}

#[test]
fn source_overrides_what_ids_identify_and_the_response() {
    let folder = Folder::new();
    let read = |provider: &str, rest: &str| {
        let file = format!("[sources.x]\nprovider = '{provider}'\nsecret = '{SECRET}'\n{rest}\n");
        folder.read(&file).map(|config| config.sources[0].clone())
    };
    let scope = |provider: &str, rest: &str| read(provider, rest).unwrap().scheme.event_id.scope.name();
    assert_eq!(scope("github", ""), "event");
    assert_eq!(scope("github", "id_scope = 'object'"), "object");
    assert_eq!(scope("github", "event_id = 'none'"), "none");
    assert_eq!(scope("acuity", "event_id = 'json:/id'"), "event", "the row's own scope is about its own id");
    let answer = |rest: &str| read("github", rest).unwrap().scheme.success_response.as_ref().map(ToString::to_string);
    assert_eq!(answer(""), None);
    assert_eq!(answer("answer_status = 204").as_deref(), Some("204, empty"));
    let xml = "answer_body = '<Response/>'\nanswer_content_type = 'text/xml'";
    assert_eq!(answer(xml).as_deref(), Some("200, text/xml, `<Response/>`"));
    for (rest, problem) in [
        ("id_scope = 'thing'", "sources.x.id_scope: `thing` is none of event, object, none"),
        ("answer_status = 410", "sources.x.answer_status: must be between 200 and 299"),
        ("answer_status = 204\nanswer_body = 'x'", "sources.x.answer_body: must be empty"),
        ("answer_content_type = 'text/xml'", "sources.x.answer_content_type: has an effect only with `answer_body`"),
    ] {
        let found = folder.problems(&format!("[sources.x]\nprovider = 'github'\nsecret = '{SECRET}'\n{rest}\n"));
        assert!(found.iter().any(|found| found.contains(problem)), "{rest}: {found:#?}");
    }
    let long = format!("answer_body = '{}'", "x".repeat(65_537));
    let found = folder.problems(&format!("[sources.x]\nprovider = 'github'\nsecret = '{SECRET}'\n{long}\n"));
    assert!(found.iter().any(|found| found.contains("is 65537 bytes long")), "{found:#?}");
}

const EXAMPLE: &str = include_str!("../../hookbox.example.toml");

fn example_folder() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("handlers")).unwrap();
    fs::copy(folder.path().join("run.sh"), folder.path().join("handlers/deploy-on-push.sh")).unwrap();
    folder
}

#[test]
fn example_shows_the_defaults() {
    let folder = example_folder();
    let environment = |name: &str| name.ends_with("_WEBHOOK_SECRET").then(|| SECRET.to_owned());
    let read = |toml: &str| {
        folder.write("hookbox.toml", toml.as_bytes());
        read(&folder.path().join("hookbox.toml"), &environment).unwrap()
    };
    let minimal = "[sources.github]\nprovider = 'github'\nsecret = 'x'\n\
                   [sources.app]\nprovider = 'custom'\nsecret = 'x'\n\
                   verify = { signature = 'header:X-Signature', algorithm = 'hmac-sha256', event_id = ['body'] }\n\
                   [handlers.deploy]\ncommand = ['handlers/deploy-on-push.sh']\n";
    // The row as written may state defaults.
    let shown = |mut config: Config| {
        config
            .sources
            .iter_mut()
            .for_each(|source| Arc::make_mut(&mut Arc::make_mut(source).scheme).row = Default::default());
        format!("{config:#?}")
    };
    assert_eq!(shown(read(EXAMPLE)), shown(read(minimal)));
}

/// The tables of a file, NAME in place of the user's names, with the lines that open each of them.
const TABLES: [(&str, &str); 15] = [
    ("", ""),
    ("server", "[server]\n"),
    ("server.tls", "[server.tls]\n"),
    ("admin", "[admin]\n"),
    ("inbox", "[inbox]\n"),
    ("dispatch", "[dispatch]\n"),
    ("alerts", "[alerts]\n"),
    ("sources.NAME", "[sources.NAME]\n"),
    ("sources.NAME.secret", "[sources.NAME]\nprovider = 'github'\n[sources.NAME.secret]\n"),
    ("sources.NAME.verify", "[sources.NAME]\nprovider = 'custom'\n[sources.NAME.verify]\n"),
    ("handlers.NAME", "[handlers.NAME]\n"),
    ("handlers.NAME.retry", "[handlers.NAME.retry]\n"),
    ("handlers.NAME.limits", "[handlers.NAME.limits]\n"),
    ("handlers.NAME.order_by", "[handlers.NAME.order_by]\n"),
    ("handlers.NAME.coalesce", "[handlers.NAME.coalesce]\n"),
];

/// The keys of a table, as the hint for an unknown key lists them.
fn keys_of(folder: &Folder, opening: &str) -> Vec<String> {
    let found = folder.problems(&format!("{opening}zzzzzzzzzz = 1\n"));
    let unknown = found.iter().find(|problem| problem.contains("zzzzzzzzzz: unknown key"));
    let (_, keys) = unknown.unwrap_or_else(|| panic!("{opening}{found:#?}")).split_once(" are `").unwrap();
    keys.trim_end_matches("`)").split("`, `").map(ToOwned::to_owned).collect()
}

#[test]
fn unknown_key_is_reported_with_the_nearest_or_all_known_ones() {
    let folder = Folder::new();
    let found = folder.problems(&format!("{GITHUB}[server]\ncolour = 1\nLisetn = 1\n"));
    let expected = [
        "5 server.colour: unknown key (the keys of [server] are `listen`, `max_body`, `max_in_flight`, \
         `request_timeout`, `trusted_proxies`, `tls`)",
        "6 server.Lisetn: unknown key (did you mean `listen`?)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn custom_source_takes_every_key_of_a_row_that_has_an_effect() {
    let mut keys = keys_of(&Folder::new(), TABLES[9].1);
    let mut expected: Vec<_> = ProviderRow::KEYS.iter().map(|key| (*key).to_owned()).collect();
    expected.retain(|key| !["title", "provenance", "confirmed", "notes", "unsupported"].contains(&key.as_str()));
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

#[test]
fn every_key_is_in_the_example() {
    let folder = Folder::new();
    for (table, key) in
        TABLES.iter().flat_map(|(table, opening)| keys_of(&folder, opening).into_iter().map(move |key| (*table, key)))
    {
        let of_handler = ["retry", "order_by", "coalesce", "limits"].map(|name| format!("handlers.NAME.{name}"));
        let is_inline =
            of_handler.iter().any(|inline| inline == table) || matches!(table, "sources.NAME.secret" | "server.tls");
        let is_header = table.is_empty() || key == "verify";
        let mut section = String::new();
        let is_there = EXAMPLE.lines().any(|line| {
            if let Some(header) = line.strip_prefix('[') {
                let parts: Vec<_> = header.trim_end_matches(']').split('.').collect();
                let part =
                    |(index, part): (usize, &&str)| if index == 1 { "NAME".to_owned() } else { (*part).to_owned() };
                section = parts.iter().enumerate().map(part).collect::<Vec<_>>().join(".");
                return is_header && parts.contains(&key.as_str());
            }
            if is_inline {
                return line.contains(&format!(" {key} = "));
            }
            section == table && line.trim_start_matches("# ").starts_with(&format!("{key} = "))
        });
        assert!(is_there, "[{table}] {key}");
    }
}

#[test]
fn commented_settings_of_the_example_are_valid() {
    let folder = example_folder();
    let is_setting = |line: &str| {
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
        key.is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    };
    let commented: Vec<_> = EXAMPLE.lines().filter(|line| is_setting(line)).collect();
    assert!(commented.len() > 10);
    for line in commented {
        let found = folder.problems(&EXAMPLE.replace(line, &line[2..]));
        let words =
            ["unknown key", "expected", "invalid type", "not supported", "is no ", "is none of", "string values"];
        assert!(!found.iter().any(|problem| words.iter().any(|word| problem.contains(word))), "{line}: {found:#?}");
    }
}

/// No key takes a date, so each one must report it.
#[test]
fn type_of_every_key_is_checked() {
    let folder = Folder::new();
    for (table, opening) in TABLES {
        for key in keys_of(&folder, opening) {
            let others =
                ["signature", "algorithm"].into_iter().filter(|other| table.ends_with("verify") && *other != key);
            let others: String = others.map(|other| format!("{other} = 'x'\n")).collect();
            let provider = if key == "verify" { "provider = 'custom'\n" } else { "" };
            let file = format!("{opening}{provider}{others}{key} = 1979-05-27\n");
            let found = folder.problems(&file);
            let name = if table.is_empty() { key } else { format!("{table}.{key}") };
            let [expected, invalid] = ["expected ", "invalid type"].map(|message| format!(" {name}: {message}"));
            let is_type_error = |problem: &String| problem.contains(&expected) || problem.contains(&invalid);
            assert!(found.iter().any(is_type_error), "{file}{found:#?}");
            assert!(!found.iter().any(|problem| problem.contains("unknown key")), "{file}{found:#?}");
        }
    }
}

#[test]
fn order_by_and_coalesce_are_read_with_their_problems() {
    let folder = Folder::new();
    let handler = |rest: &str| {
        format!("[sources.x]\nprovider = 'github'\nsecret = '{SECRET}'\n[handlers.h]\ncommand = ['./run.sh']\n{rest}\n")
    };
    let keyed = |rest: &str| {
        let config = folder.read(&handler(rest)).unwrap();
        config.handlers[0].ordering.as_ref().map(|keyed| format!("{keyed}; {:?}", keyed.mode))
    };
    for (written, expected) in [
        ("", None),
        ("order_by = '/a/b'", Some("order_by /a/b, alone; InOrder")),
        (
            "order_by = { key = 'header:X-Shop', missing = 'together' }",
            Some("order_by header:X-Shop, together; InOrder"),
        ),
        ("coalesce = { key = '/a' }", Some("coalesce /a, alone; Coalesce { quiet: 5s, max: 60s }")),
        ("coalesce = { key = '/a', quiet = '2m' }", Some("coalesce /a, alone; Coalesce { quiet: 120s, max: 120s }")),
    ] {
        assert_eq!(keyed(written).as_deref(), expected, "{written}");
    }
    for (written, problem) in [
        ("order_by = 'customer'", "handlers.h.order_by: \"customer\" is not a JSON pointer"),
        ("order_by = '/a~2'", "handlers.h.order_by: \"/a~2\" is not a JSON pointer"),
        ("order_by = 'header:'", "handlers.h.order_by: \"\" is not the name of a header"),
        ("order_by = 7", "handlers.h.order_by: expected a key or a table, found an integer"),
        ("order_by = {}", "handlers.h.order_by.key: is missing"),
        ("order_by = { key = '/a', missing = 'last' }", "order_by.missing: \"last\" is neither"),
        ("coalesce = '/a'", "handlers.h.coalesce: expected a table"),
        ("coalesce = { key = '/a', quiet = '2m', max = '1m' }", "`quiet` (2m) is longer than `max` (1m)"),
        ("order_by = '/a'\ncoalesce = { key = '/a' }", "handlers.h.coalesce: cannot be combined with `order_by`"),
        ("rate_limit = '10'", "handlers.h.rate_limit: \"10\" is not a rate"),
    ] {
        let found = folder.problems(&handler(written));
        assert!(found.len() == 1 && found[0].contains(problem), "{written}: {found:#?}");
    }
}
