//! The text that Prometheus reads: families with their help and type, then their samples.
//! Never knows what the figures mean.

use std::fmt::{Display, Write};

/// What a family's figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::parts) enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page of figures.
#[derive(Debug, Default)]
pub(in crate::parts) struct MetricsPage {
    text: String,
    name: &'static str,
}

impl MetricsPage {
    /// Begins a family; its samples follow.
    pub(in crate::parts) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.name = name;
        self
    }

    /// A counter without labels.
    pub(in crate::parts) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(Kind::Counter, name, help).sample(&[], value);
    }

    /// A gauge without labels.
    pub(in crate::parts) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(Kind::Gauge, name, help).sample(&[], value);
    }

    /// A sample of the family that was begun last.
    pub(in crate::parts) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        for (number, (label, text)) in labels.iter().enumerate() {
            self.text.push(if number == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// Text that is in this form already.
    pub(in crate::parts) fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The page.
    pub(in crate::parts) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_may_hold_anything() {
        let mut page = MetricsPage::default();
        page.family(Kind::Gauge, "x", "Help.").sample(&[("a", "q\"b\\n\n"), ("c", "é")], 1.5);
        assert_eq!(page.finish(), "# HELP x Help.\n# TYPE x gauge\nx{a=\"q\\\"b\\\\n\\n\",c=\"é\"} 1.5\n");
    }
}
