//! Every condition begins once and ends once, whatever is seen in between; a flood is a trickle of messages.

use super::*;
use crate::config::AlertChannel;
use crate::inbox::reader::HourlyCount;

struct Watch {
    conditions: Conditions,
    settings: config::AlertsConfig,
    start: Instant,
    seen: Seen,
}

impl Watch {
    fn new(silence: &[(&str, u64)]) -> Self {
        let start = Instant::now();
        let silence = silence.iter().map(|(name, seconds)| ((*name).into(), Duration::from_secs(*seconds))).collect();
        let channel = AlertChannel::Url(crate::support::secret::Secret::new("http://x"));
        let settings = config::AlertsConfig { channel, sources: vec!["s".into()], refusals_per_minute: 10, silence };
        let conditions = Conditions::new(HashMap::from([("old".to_owned(), Duration::from_secs(3600))]), start);
        Self { conditions, settings, start, seen: Seen::default() }
    }

    /// What is told so many seconds after the start.
    fn at(&mut self, seconds: u64) -> Vec<What> {
        let now = self.start + Duration::from_secs(seconds);
        self.conditions.update(&self.seen, &self.settings, now)
    }

    fn dead(&mut self, count: u64) {
        self.seen.glance.dead = if count == 0 { vec![] } else { vec![("deploy".to_owned(), count)] };
    }

    fn hour(&mut self, genuine: u64, refused: u64) {
        self.seen.glance.hours = vec![HourlyCount { source: "s".to_owned(), hour: 0, genuine, refused }];
    }
}

fn dead(count: u64, all: u64) -> Vec<What> {
    vec![What::Dead { handler: "deploy".to_owned(), count, all, last: None }]
}

#[test]
fn the_first_dead_job_is_told_at_once_and_the_others_once_a_minute() {
    let mut watch = Watch::new(&[]);
    assert_eq!(watch.at(0), []);
    watch.dead(1);
    assert_eq!(watch.at(1), dead(1, 1));
    for second in 2..61 {
        watch.dead(second * 10);
        assert_eq!(watch.at(second), [], "at {second} s");
    }
    assert_eq!(watch.at(61), dead(599, 600));
    assert_eq!(watch.at(200), [], "nothing new has died");
    watch.dead(0);
    assert_eq!(watch.at(201), [What::NoneDead { handler: "deploy".to_owned() }]);
    assert_eq!(watch.at(202), []);
    watch.dead(1);
    assert_eq!(watch.at(203), dead(1, 1));
    watch.dead(0);
    watch.at(204);
    watch.dead(1);
    assert_eq!(watch.at(205), [], "one that comes and goes is no storm");
    assert_eq!(watch.at(263), dead(1, 1));
}

#[test]
fn what_was_dead_before_the_start_is_known() {
    let mut watch = Watch::new(&[]);
    let known = vec![("deploy".to_owned(), 7), ("other".to_owned(), 1)];
    watch.conditions.know_dead(known.clone(), &[]);
    watch.dead(7);
    assert_eq!((watch.at(0), watch.at(1)), (vec![], vec![]));
    watch.dead(6);
    assert_eq!(watch.at(2), []);
    watch.dead(7);
    assert_eq!(watch.at(3), dead(1, 7));
    let mut unheard = Watch::new(&[]);
    unheard.conditions.know_dead(known, &["deploy".to_owned()]);
    unheard.dead(7);
    assert_eq!(unheard.at(0), dead(1, 7), "one died with the last hookbox");
    let mut unheard = Watch::new(&[]);
    unheard.conditions.know_dead(vec![("deploy".to_owned(), 7)], &[]);
    unheard.dead(7);
    unheard.at(0);
    unheard.dead(0);
    assert_eq!(unheard.at(1), [], "nobody was told that it began");
}

#[test]
fn a_broken_handler_and_a_low_disk_begin_once_and_end_once() {
    let mut watch = Watch::new(&[]);
    watch.seen.glance.broken = vec![("deploy".to_owned(), "no such file".to_owned())];
    watch.seen.is_disk_low = true;
    let told = watch.at(0);
    assert!(matches!(&told[..], [What::Disk { is_over: false }, What::Broken { .. }]), "{told:?}");
    watch.seen.glance.broken[0].1 = "something else".to_owned();
    assert_eq!(watch.at(1), []);
    watch.seen = Seen::default();
    assert_eq!(watch.at(2), [What::Disk { is_over: true }, What::Mended { handler: "deploy".to_owned() }]);
    assert_eq!(watch.at(3), []);
}

#[test]
fn too_many_refusals_within_a_minute_are_told_once_until_there_are_few() {
    let mut watch = Watch::new(&[]);
    watch.hour(0, 1_000);
    assert_eq!(watch.at(0), [], "what was refused before the start does not count");
    watch.hour(0, 1_009);
    assert_eq!(watch.at(10), []);
    watch.hour(0, 1_010);
    assert_eq!(watch.at(20), [What::Refusals { source: "s".into(), count: 10 }]);
    watch.hour(0, 2_000);
    assert_eq!(watch.at(21), []);
    assert_eq!(watch.at(80), [], "the last of them was 59 s ago");
    assert_eq!(watch.at(81), [What::FewRefusals { source: "s".into() }]);
    assert_eq!(watch.at(300), []);
    watch.hour(0, 2_009);
    assert_eq!(watch.at(301), []);
}

#[test]
fn a_silent_source_is_told_once_until_it_is_heard_of() {
    let mut watch = Watch::new(&[("s", 100), ("old", 600)]);
    watch.hour(5, 0);
    assert_eq!(watch.at(0), []);
    assert_eq!(watch.at(59), []);
    let old = What::Silent { source: "old".into(), silent: Duration::from_secs(3660) };
    assert_eq!(watch.at(60), [old], "it was silent before the start, and has had its minute");
    watch.hour(6, 0);
    assert_eq!(watch.at(90), []);
    assert_eq!(watch.at(189), []);
    assert_eq!(watch.at(190), [What::Silent { source: "s".into(), silent: Duration::from_secs(100) }]);
    watch.hour(6, 5);
    assert_eq!(watch.at(191), [], "what is refused is not from it");
    watch.hour(7, 5);
    assert_eq!(watch.at(192), [What::HeardAgain { source: "s".into() }]);
}
