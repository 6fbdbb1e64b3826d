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
struct Spread([f64; 3]);

pub(crate) const HEADER: &str = "\
load             what            events/s, thousands    CPU s per million events      ratio of the medians
                                 min    median    max      min    median    max";

impl Samples {
    pub(crate) fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        let mut figures: Vec<f64> = self.0.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        Spread([figures[0], figures[figures.len() / 2], figures[figures.len() - 1]])
    }

    fn rate(&self) -> Spread {
        self.spread(|sample| sample.events as f64 / sample.elapsed.as_secs_f64() / 1e3)
    }

    fn cpu(&self) -> Spread {
        self.spread(|sample| sample.cpu.as_secs_f64() / sample.events as f64 * 1e6)
    }
}

impl Spread {
    fn median(&self) -> f64 {
        self.0[1]
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, median, max] = self.0;
        write!(formatter, "{min:>6.1} {median:>8.1} {max:>7.1}")
    }
}

/// The bus, the bare server and the log alone, and how the first stands to the sum of the others.
pub(crate) fn print(name: &str, [bus, bare, log]: [&Samples; 3], peak_rss: u64) {
    let floor = bare.cpu().median() + log.cpu().median();
    for (what, samples) in [("tidings", bus), ("bare tonic", bare), ("log alone", log)] {
        let (rate, cpu) = (samples.rate(), samples.cpu());
        let of_floor = match what {
            "tidings" => format!(
                "   {:.2} x (bare + log)   peak RSS {} MB",
                cpu.median() / floor,
                peak_rss >> 20
            ),
            _ => String::new(),
        };
        println!("{name:<16} {what:<12} {rate}   {cpu}{of_floor}");
    }
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
