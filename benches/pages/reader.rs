//! A reader that requests every page and API list in turn, timed until the last byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The durations of each page.
#[derive(Default)]
pub(crate) struct Times(BTreeMap<String, Vec<Duration>>);

impl Times {
    pub(crate) fn print(&self, when: &str) {
        println!("{when}:");
        let mut worst = Duration::ZERO;
        for (page, times) in &self.0 {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile) as usize];
            worst = worst.max(at(1.0));
            let ms = |span: Duration| span.as_secs_f64() * 1000.0;
            println!(
                "  {page:<46} p50 {:>6.1} ms  p99 {:>6.1} ms  worst {:>6.1} ms  {:>4} times",
                ms(at(0.5)),
                ms(at(0.99)),
                ms(at(1.0)),
                times.len()
            );
        }
        println!("  the slowest of all                             {:>27.1} ms  aim 100", worst.as_secs_f64() * 1000.0);
    }
}

pub(crate) struct Reader {
    agent: ureq::Agent,
    admin: String,
    pages: Vec<String>,
}

impl Reader {
    pub(crate) fn new(admin: &str, events: u64) -> Self {
        let (some, dead) = (events / 2, events / 2 / 100 * 100);
        let mut pages = vec![String::from("/metrics")];
        let lists = ["", "/events", "/jobs", "/refusals", "/sources", "/handlers"];
        pages.extend(lists.map(|page| format!("{page}{}", if page.is_empty() { "/" } else { "" })));
        let asked = [
            "events?state=dead".to_owned(),
            "events?source=stripe&type=invoice.paid".to_owned(),
            "events?type=nothing".to_owned(),
            "events?text=cus_00000007".to_owned(),
            "events?text=nowhere".to_owned(),
            format!("events?before={some}"),
            format!("events/{some}"),
            format!("events/{dead}"),
            "jobs?state=dead".to_owned(),
            "jobs?state=pending".to_owned(),
            "jobs?state=dead&handler=bill".to_owned(),
        ];
        pages.extend(asked.iter().flat_map(|page| [format!("/{page}"), format!("/api/v1/{page}")]));
        pages.extend(["status", "sources", "hours", "handlers", "refusals"].map(|page| format!("/api/v1/{page}")));
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { agent: config.into(), admin: format!("http://{admin}"), pages }
    }

    /// Reads each page in turn until stopped.
    pub(crate) fn read_all(&mut self, times: &mut Times, pause: Duration, is_wanted: &dyn Fn() -> bool) {
        for page in self.pages.iter().take_while(|_| is_wanted()) {
            let began = Instant::now();
            let mut answer = self.agent.get(format!("{}{page}", self.admin)).call().expect("it answers");
            let text = answer.body_mut().read_to_vec().expect("all of it");
            times.0.entry(page.clone()).or_default().push(began.elapsed());
            assert_eq!(answer.status().as_u16(), 200, "{page}: {}", String::from_utf8_lossy(&text));
            std::thread::sleep(pause);
        }
    }
}
