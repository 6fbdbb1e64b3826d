//! Figures: samples, their minimum, median and maximum, and the table.

use std::{fmt, time::Duration};

/// One run.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

/// The runs of one thing.
#[derive(Default)]
pub(crate) struct Samples(Vec<Sample>);

/// Minimum, median, maximum.
pub(crate) struct Spread([f64; 3]);

pub(crate) const HEADER: &str = "\
load             what            events/s, thousands    CPU s per million events      ratio of the medians
                                 min    median    max      min    median    max";

impl Samples {
    pub(crate) fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.0.iter().map(figure).collect())
    }

    pub(crate) fn rate(&self) -> Spread {
        self.spread(|sample| sample.events as f64 / sample.elapsed.as_secs_f64() / 1e3)
    }

    pub(crate) fn cpu(&self) -> Spread {
        self.spread(|sample| sample.cpu.as_secs_f64() / sample.events as f64 * 1e6)
    }
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self([figures[0], figures[figures.len() / 2], figures[figures.len() - 1]])
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[1]
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([min, median, max], digits) = (self.0, formatter.precision().unwrap_or(1));
        write!(formatter, "{min:>6.digits$} {median:>8.digits$} {max:>7.digits$}")
    }
}

/// What ran side by side: the bus, the bare server, and what stands behind the bus by itself.
pub(crate) struct SideBySide<'a> {
    pub(crate) bus: &'a Samples,
    pub(crate) bare: &'a Samples,
    pub(crate) alone: Option<(&'static str, &'a Samples)>,
}

impl SideBySide<'_> {
    /// The table's rows, and how the bus stands to the sum of the others.
    pub(crate) fn print(&self, name: &str, target: f64, peak_rss: u64) {
        let alone = self.alone.map_or(0.0, |(_, samples)| samples.cpu().median());
        let ratio = self.bus.cpu().median() / (self.bare.cpu().median() + alone);
        let floor = self
            .alone
            .map_or("bare".to_owned(), |(what, _)| format!("(bare + {what})"));
        row(name, "tidings", self.bus);
        println!(
            "   {ratio:.2} x {floor}, target {target}   peak RSS {} MB",
            peak_rss >> 20
        );
        for (what, samples) in [("bare tonic", self.bare)].into_iter().chain(self.alone) {
            row(name, what, samples);
            println!();
        }
    }
}

pub(crate) fn row(name: &str, what: &str, samples: &Samples) {
    print!("{name:<16} {what:<12} {}   {}", samples.rate(), samples.cpu());
}

/// Minimum, median, maximum over runs of a quantile of each, in milliseconds.
pub(crate) fn quantiles(runs: &mut [Vec<Duration>], part: f64) -> Spread {
    let at = |run: &mut Vec<Duration>| {
        run.sort_unstable();
        run[((run.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
    };
    Spread::of(runs.iter_mut().map(at).collect())
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name"));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{processors} processors, {}; load average {}",
        model.unwrap_or_default().trim_matches([' ', '\t', ':']),
        read("/proc/loadavg").trim()
    )
}
