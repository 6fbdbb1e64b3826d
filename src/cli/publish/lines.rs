//! Events from JSON lines: read and parsed by a thread of their own, checked as a whole where that is possible.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    thread,
};

use prost::Message as _;
use tokio::sync::mpsc;

use crate::{
    cli::failure::{Failure, Result},
    event::json::from_json,
    proto::{event::to_proto, io::cloudevents::v1::CloudEvent},
};

/// Faulty lines that are shown; further ones are counted.
const SHOWN: usize = 20;
const BUFFER_BYTES: usize = 256 * 1024;
/// Lines that are parsed ahead.
const AHEAD: usize = 512;

/// An event and the line it stands in.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Of the line, and of skipped ones before it.
    pub(super) bytes: u64,
    pub(super) encoded_len: usize,
    pub(super) event: CloudEvent,
}

/// A file that was checked, or stdin.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    pub(super) name: String,
    /// Bytes, where known.
    pub(super) total: Option<u64>,
    path: Option<PathBuf>,
}

impl Source {
    /// Reads a regular file once to find every faulty line before anything is published.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                name: "stdin".to_owned(),
                total: None,
                path: None,
            });
        }
        let name = path.display().to_string();
        let metadata = path
            .metadata()
            .map_err(|error| Failure::local(format!("read {name}"), error))?;
        if metadata.is_file() {
            check(&name, open(path)?)?;
        }
        Ok(Self {
            name,
            total: metadata.is_file().then_some(metadata.len()),
            path: Some(path.to_owned()),
        })
    }

    /// Starts reading. Ends after the first line that cannot be read.
    pub(super) fn start(&self) -> Result<mpsc::Receiver<Result<Line>>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let name = self.name.clone();
        let file = self.path.as_deref().map(open).transpose()?;
        thread::spawn(move || match file {
            Some(file) => send(&name, file, &sender),
            None => send(&name, io::stdin().lock(), &sender),
        });
        Ok(receiver)
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|error| Failure::local(format!("read {}", path.display()), error))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// Sends until the end, the first fault, or until nobody listens.
fn send(name: &str, reader: impl BufRead, sender: &mpsc::Sender<Result<Line>>) {
    for line in Lines::new(name, reader) {
        let failed = line.is_err();
        if sender.blocking_send(line.map_err(Failure::Local)).is_err() || failed {
            return;
        }
    }
}

fn check(name: &str, reader: impl BufRead) -> Result<()> {
    let faults: Vec<String> = Lines::new(name, reader).filter_map(Result::err).collect();
    if faults.is_empty() {
        return Ok(());
    }
    let mut text = format!("publish: nothing was published; faulty lines: {}", faults.len());
    for fault in faults.iter().take(SHOWN) {
        text.push_str(&format!("\n  {fault}"));
    }
    if faults.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", faults.len() - SHOWN));
    }
    Err(Failure::Local(text))
}

/// The events of a text, or what is wrong with a line.
struct Lines<'a, R> {
    name: &'a str,
    reader: R,
    number: u64,
    line: Vec<u8>,
    ended: bool,
}

impl<'a, R: BufRead> Lines<'a, R> {
    fn new(name: &'a str, reader: R) -> Self {
        Self {
            name,
            reader,
            number: 0,
            line: Vec::new(),
            ended: false,
        }
    }

    fn parse(&self, bytes: u64) -> Result<Line, String> {
        let event = from_json(&self.line).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            format!("{}:{}: {}", self.name, self.number, faults.join("; "))
        })?;
        let event = to_proto(event);
        Ok(Line {
            number: self.number,
            bytes,
            encoded_len: event.encoded_len(),
            event,
        })
    }
}

impl<R: BufRead> Iterator for Lines<'_, R> {
    type Item = Result<Line, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = 0;
        while !self.ended {
            self.line.clear();
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.number += 1;
                    bytes += read as u64;
                    let text = self.line.trim_ascii();
                    if !text.is_empty() && !text.starts_with(b"#") {
                        return Some(self.parse(bytes));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(format!("read {}: {error}", self.name)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b.c"}"#;

    #[test]
    fn comments_and_empty_lines_are_skipped_and_counted() {
        let text = format!("# events\n\n{GOOD}\n  \n{GOOD}");
        let lines: Vec<Line> = Lines::new("f", text.as_bytes())
            .map(|line| line.expect("good"))
            .collect();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(lines.iter().map(|line| line.bytes).sum::<u64>(), text.len() as u64);
    }

    #[test]
    fn every_faulty_line_of_a_file_is_told() {
        let text = format!("{GOOD}\nnonsense\n{GOOD}\n{{\"specversion\":\"1.0\",\"id\":\"\"}}\n");
        let failure = check("f", text.as_bytes()).expect_err("faulty").to_string();
        let lines: Vec<&str> = failure.lines().collect();
        assert_eq!(lines.len(), 3, "{failure}");
        assert!(
            lines[1].starts_with("  f:2: ") && lines[2].starts_with("  f:4: "),
            "{failure}"
        );
    }

    #[test]
    fn reading_ends_at_the_first_faulty_line() {
        let (sender, mut receiver) = mpsc::channel(8);
        send("f", format!("{GOOD}\nx\n{GOOD}\n").as_bytes(), &sender);
        drop(sender);
        assert!(receiver.blocking_recv().is_some_and(|line| line.is_ok()));
        assert!(receiver.blocking_recv().is_some_and(|line| line.is_err()));
        assert!(receiver.blocking_recv().is_none());
    }
}
