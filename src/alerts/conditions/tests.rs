//! Each condition begins once and ends once, and a flood becomes few alerts.

use super::*;
use crate::config::AlertChannel;
use crate::inbox::reader::HourlyCount;

struct Monitor {
    conditions: Conditions,
    settings: config::AlertsConfig,
    start: Instant,
    snapshot: Snapshot,
}

impl Monitor {
    fn new(silence: &[(&str, u64)]) -> Self {
        let start = Instant::now();
        let silence = silence.iter().map(|(name, seconds)| ((*name).into(), Duration::from_secs(*seconds))).collect();
        let channel = AlertChannel::Url(crate::support::secret::Secret::new("http://x"));
        let settings = config::AlertsConfig { channel, sources: vec!["s".into()], refusals_per_minute: 10, silence };
        let conditions = Conditions::new(HashMap::from([("old".to_owned(), Duration::from_secs(3600))]), start);
        Self { conditions, settings, start, snapshot: Snapshot::default() }
    }

    /// The alerts of a snapshot taken this many seconds after the start.
    fn at(&mut self, seconds: u64) -> Vec<AlertEvent> {
        let now = self.start + Duration::from_secs(seconds);
        self.conditions.update(&self.snapshot, &self.settings, now)
    }

    fn dead(&mut self, count: u64) {
        self.snapshot.inbox.dead = if count == 0 { vec![] } else { vec![("deploy".to_owned(), count)] };
    }

    fn hour(&mut self, genuine: u64, refused: u64) {
        self.snapshot.inbox.hours = vec![HourlyCount { source: "s".to_owned(), hour: 0, genuine, refused }];
    }
}

fn dead(count: u64, all: u64) -> Vec<AlertEvent> {
    vec![AlertEvent::Dead { handler: "deploy".to_owned(), count, all, last: None }]
}

#[test]
fn first_dead_job_is_reported_immediately_the_others_once_a_minute() {
    let mut monitor = Monitor::new(&[]);
    assert_eq!(monitor.at(0), []);
    monitor.dead(1);
    assert_eq!(monitor.at(1), dead(1, 1));
    for second in 2..61 {
        monitor.dead(second * 10);
        assert_eq!(monitor.at(second), [], "at {second} s");
    }
    assert_eq!(monitor.at(61), dead(599, 600));
    assert_eq!(monitor.at(200), [], "nothing new has died");
    monitor.dead(0);
    assert_eq!(monitor.at(201), [AlertEvent::NoneDead { handler: "deploy".to_owned() }]);
    assert_eq!(monitor.at(202), []);
    monitor.dead(1);
    assert_eq!(monitor.at(203), dead(1, 1));
    monitor.dead(0);
    monitor.at(204);
    monitor.dead(1);
    assert_eq!(monitor.at(205), [], "within the minute");
    assert_eq!(monitor.at(263), dead(1, 1));
}

#[test]
fn jobs_dead_before_the_start_are_not_reported() {
    let mut monitor = Monitor::new(&[]);
    let known = vec![("deploy".to_owned(), 7), ("other".to_owned(), 1)];
    monitor.conditions.set_known_dead(known.clone(), &[]);
    monitor.dead(7);
    assert_eq!((monitor.at(0), monitor.at(1)), (vec![], vec![]));
    monitor.dead(6);
    assert_eq!(monitor.at(2), []);
    monitor.dead(7);
    assert_eq!(monitor.at(3), dead(1, 7));
    let mut monitor = Monitor::new(&[]);
    monitor.conditions.set_known_dead(known, &["deploy".to_owned()]);
    monitor.dead(7);
    assert_eq!(monitor.at(0), dead(1, 7), "one died when hookbox was killed");
    let mut monitor = Monitor::new(&[]);
    monitor.conditions.set_known_dead(vec![("deploy".to_owned(), 7)], &[]);
    monitor.dead(7);
    monitor.at(0);
    monitor.dead(0);
    assert_eq!(monitor.at(1), [], "its beginning was not reported");
}

#[test]
fn broken_handler_and_low_disk_begin_once_and_end_once() {
    let mut monitor = Monitor::new(&[]);
    monitor.snapshot.inbox.broken = vec![("deploy".to_owned(), "no such file".to_owned())];
    monitor.snapshot.is_disk_low = true;
    let events = monitor.at(0);
    assert!(matches!(&events[..], [AlertEvent::Disk { is_over: false }, AlertEvent::Broken { .. }]), "{events:?}");
    monitor.snapshot.inbox.broken[0].1 = "something else".to_owned();
    assert_eq!(monitor.at(1), []);
    monitor.snapshot = Snapshot::default();
    assert_eq!(
        monitor.at(2),
        [AlertEvent::Disk { is_over: true }, AlertEvent::NotBroken { handler: "deploy".to_owned() }]
    );
    assert_eq!(monitor.at(3), []);
}

#[test]
fn too_many_refusals_are_reported_once_until_there_are_few() {
    let mut monitor = Monitor::new(&[]);
    monitor.hour(0, 1_000);
    assert_eq!(monitor.at(0), [], "refusals before the start do not count");
    monitor.hour(0, 1_009);
    assert_eq!(monitor.at(10), []);
    monitor.hour(0, 1_010);
    assert_eq!(monitor.at(20), [AlertEvent::Refusals { source: "s".into(), count: 10 }]);
    monitor.hour(0, 2_000);
    assert_eq!(monitor.at(21), []);
    assert_eq!(monitor.at(80), [], "the last of them was 59 s ago");
    assert_eq!(monitor.at(81), [AlertEvent::FewRefusals { source: "s".into() }]);
    assert_eq!(monitor.at(300), []);
    monitor.hour(0, 2_009);
    assert_eq!(monitor.at(301), []);
}

#[test]
fn silent_source_is_reported_once_until_it_is_heard_again() {
    let mut monitor = Monitor::new(&[("s", 100), ("old", 600)]);
    monitor.hour(5, 0);
    assert_eq!(monitor.at(0), []);
    assert_eq!(monitor.at(59), []);
    let old = AlertEvent::Silent { source: "old".into(), silent: Duration::from_secs(3660) };
    assert_eq!(monitor.at(60), [old], "silent before the start, and the grace time is over");
    monitor.hour(6, 0);
    assert_eq!(monitor.at(90), []);
    assert_eq!(monitor.at(189), []);
    assert_eq!(monitor.at(190), [AlertEvent::Silent { source: "s".into(), silent: Duration::from_secs(100) }]);
    monitor.hour(6, 5);
    assert_eq!(monitor.at(191), [], "refused deliveries do not count");
    monitor.hour(7, 5);
    assert_eq!(monitor.at(192), [AlertEvent::HeardAgain { source: "s".into() }]);
}
