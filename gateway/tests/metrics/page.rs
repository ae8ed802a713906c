//! Reads a page of figures as Prometheus does. Knows no figure by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::TestServer;

/// A page that was scraped.
pub(crate) struct Page {
    pub(crate) text: String,
    samples: Vec<Sample>,
    /// Families by name, with their types.
    pub(crate) families: BTreeMap<String, String>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Asks a server for its figures.
pub(crate) async fn scrape(server: &TestServer) -> Page {
    let reply = server.get("/metrics").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Page::parse(reply.text)
}

impl Page {
    fn parse(text: String) -> Self {
        let (mut samples, mut families, mut helped) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (kind, name, rest) =
                    (words.next().unwrap(), words.next().unwrap().to_owned(), words.next().unwrap());
                match kind {
                    "HELP" => assert!(helped.insert(name) && rest.ends_with('.'), "{line}"),
                    "TYPE" => assert!(families.insert(name, rest.to_owned()).is_none(), "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            samples.push(Sample::parse(line));
        }
        assert_eq!(families.keys().collect::<Vec<_>>(), helped.iter().collect::<Vec<_>>());
        Self { text, samples, families }
    }

    /// The only sample of this name with these labels among its own.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_it = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
        };
        let found: Vec<f64> = self.samples.iter().filter(is_it).map(|sample| sample.value).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}\n{}", self.text);
        found[0]
    }

    /// All samples of this name together.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    /// Names under which samples may be asked for: for a histogram, those of its parts.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// Most samples of one family.
    pub(crate) fn series(&self) -> usize {
        self.samples.len()
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        // No value of ours holds a comma or a quote.
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.parse().unwrap_or_else(|_| panic!("{line}")),
        }
    }
}
