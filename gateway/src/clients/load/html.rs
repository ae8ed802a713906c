//! The report as one page: plots, tables, checks and settings, with its style inside, for light and dark.
//! Never fetches anything and needs no script.

use std::fmt::Write;

use super::plot::{Plot, Scale, Series, escaped};
use super::report::{Report, grouped, grouped_f, time};

/// Outcomes with a colour of their own; the rest are shown together.
const COLOURS: usize = 6;

/// The page.
pub fn page(report: &Report) -> String {
    let mut html = String::with_capacity(64 << 10);
    // Writing to memory cannot fail.
    let _ = write_page(report, &mut html);
    html
}

fn write_page(report: &Report, html: &mut String) -> std::fmt::Result {
    let title = format!("{} on {}", report.scenario, report.address);
    write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>farerush load: {0}</title><style>{STYLE}</style></head><body><main><header><p>farerush load</p>\
         <h1>{0}</h1><p class=\"dim\">{1}, {2:.1} s, seed {3}</p></header>",
        escaped(&title),
        escaped(&report.started_at),
        report.seconds,
        report.seed
    )?;
    verdict(report, html)?;
    figures(report, html)?;
    plots(report, html)?;
    operations(report, html)?;
    outcomes(report, html)?;
    checks(report, html)?;
    settings(report, html)?;
    html.write_str("</main></body></html>\n")
}

fn verdict(report: &Report, html: &mut String) -> std::fmt::Result {
    let failed = report.checks.iter().filter(|check| !check.ok).count();
    let (class, text) = match (report.checks.len(), failed) {
        (0, _) => ("none", "Nothing was checked".to_owned()),
        (all, 0) => ("ok", format!("All {all} checks passed")),
        (all, failed) => ("bad", format!("{failed} of {all} checks failed")),
    };
    write!(html, "<p class=\"verdict {class}\">{text}</p>")?;
    for note in &report.notes {
        write!(html, "<p class=\"note\">{}</p>", escaped(note))?;
    }
    Ok(())
}

fn figures(report: &Report, html: &mut String) -> std::fmt::Result {
    let latency = &report.latency_us;
    html.write_str("<section class=\"figures\">")?;
    for (name, value) in [
        ("requests a second", grouped_f(report.requests_per_second)),
        ("requests", grouped(report.requests)),
        ("p50", time(latency.p50)),
        ("p99", time(latency.p99)),
        ("p99.9", time(latency.p999)),
        ("longest", time(latency.max)),
    ] {
        write!(html, "<div><b>{value}</b><span>{name}</span></div>")?;
    }
    html.write_str("</section>")
}

#[allow(clippy::cast_precision_loss, reason = "counts are drawn, not counted with")]
fn plots(report: &Report, html: &mut String) -> std::fmt::Result {
    // The last second is seldom a whole one: drawn, it would look like a collapse.
    let whole = report.timeline.iter().filter(|second| (second.second as f64) + 1.0 <= report.seconds + 0.05);
    let seconds: Vec<_> = whole.collect();
    if seconds.len() > 1 {
        let outcomes = report.outcomes_by_count();
        let own = if outcomes.len() > COLOURS { COLOURS - 1 } else { outcomes.len() };
        let mut stack: Vec<Series> = outcomes[..own]
            .iter()
            .enumerate()
            .map(|(place, (label, _))| Series {
                name: (*label).to_owned(),
                class: format!("c{place}"),
                points: seconds
                    .iter()
                    .map(|second| {
                        (second.second as f64, second.outcomes.get(*label).copied().unwrap_or(0) as f64)
                    })
                    .collect(),
            })
            .collect();
        if own < outcomes.len() {
            let others = |second: &super::report::SecondReport| -> u64 {
                let named = |label: &String| outcomes[..own].iter().any(|(its, _)| its == label);
                second.outcomes.iter().filter(|(label, _)| !named(label)).map(|(_, count)| count).sum()
            };
            stack.push(Series {
                name: "others".into(),
                class: format!("c{}", COLOURS - 1),
                points: seconds.iter().map(|second| (second.second as f64, others(second) as f64)).collect(),
            });
        }
        let marks = second_marks(seconds.len());
        let label: fn(f64) -> String = short_count;
        let title = "Answers a second, by outcome";
        section(
            html,
            &Plot { title, series: stack, stacked: true, scale: Scale::Linear, marks: marks.clone(), label },
        )?;
        let over_time = |name: &str, class: &str, of: fn(&super::report::SecondReport) -> u64| Series {
            name: name.into(),
            class: class.into(),
            points: seconds.iter().map(|second| (second.second as f64, of(second) as f64)).collect(),
        };
        let series = vec![
            over_time("p50", "c0", |second| second.p50_us),
            over_time("p99", "c1", |second| second.p99_us),
        ];
        let title = "Latency over time";
        let label: fn(f64) -> String = short_time;
        section(html, &Plot { title, series, stacked: false, scale: Scale::Logarithmic, marks, label })?;
    }
    // By "nines": as much room from 99 to 99.9 as from 0 to 90.
    let nines = |percent: f64| -(1.0 - percent / 100.0).max(1e-9).log10();
    let farthest = report.percentiles.iter().rev().nth(1).map_or(1.0, |(percent, _)| nines(*percent));
    let points: Vec<_> =
        report.percentiles.iter().map(|(percent, us)| (nines(*percent).min(farthest), *us as f64)).collect();
    let names = ["0%", "90%", "99%", "99.9%", "99.99%", "99.999%", "99.9999%"];
    let marks = names.iter().zip(0..7_i32).map(|(name, place)| (f64::from(place), (*name).to_owned()));
    let marks = marks.filter(|(at, _)| *at <= farthest).collect();
    let series = vec![Series { name: "latency".into(), class: "c0".into(), points }];
    let title = "Latency by percentile";
    section(
        html,
        &Plot { title, series, stacked: false, scale: Scale::Logarithmic, marks, label: short_time },
    )
}

fn section(html: &mut String, plot: &Plot<'_>) -> std::fmt::Result {
    let (title, legend, svg) = (escaped(plot.title), plot.legend(), plot.svg());
    write!(html, "<section><h2>{title}</h2><div class=\"legend\">{legend}</div>{svg}</section>")
}

#[allow(clippy::cast_precision_loss, reason = "a mark's place")]
fn second_marks(count: usize) -> Vec<(f64, String)> {
    let step = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400]
        .into_iter()
        .find(|step| count / step <= 8)
        .unwrap_or(14_400);
    let name =
        |second: usize| if step >= 60 { format!("{} min", second / 60) } else { format!("{second} s") };
    (0..count).step_by(step).map(|second| (second as f64, name(second))).collect()
}

fn short_count(value: f64) -> String {
    match value {
        ..1_000.0 => format!("{value}"),
        ..1_000_000.0 => format!("{} k", value / 1e3),
        _ => format!("{} M", value / 1e6),
    }
}

fn short_time(us: f64) -> String {
    match us {
        ..1_000.0 => format!("{us} us"),
        ..1_000_000.0 => format!("{} ms", us / 1e3),
        _ => format!("{} s", us / 1e6),
    }
}

fn operations(report: &Report, html: &mut String) -> std::fmt::Result {
    html.write_str(
        "<section><h2>Operations</h2><div class=\"wide\"><table><thead><tr><th>operation<th>requests<th>a second\
         <th>mean<th>p50<th>p90<th>p99<th>p99.9<th>longest</thead><tbody>",
    )?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of microseconds")]
    let mut row = |name: &str, requests: u64, rate: f64, latency: &super::report::Latency| {
        write!(html, "<tr><th>{name}<td>{}<td>{}", grouped(requests), grouped_f(rate))?;
        let mean = latency.mean.round() as u64;
        for us in [mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
            write!(html, "<td>{}", time(us))?;
        }
        Ok(())
    };
    for (name, operation) in &report.operations {
        row(name, operation.requests, operation.requests_per_second, &operation.latency_us)?;
    }
    row("all", report.requests, report.requests_per_second, &report.latency_us)?;
    html.write_str("</tbody></table></div></section>")
}

#[allow(clippy::cast_precision_loss, reason = "shares for people")]
fn outcomes(report: &Report, html: &mut String) -> std::fmt::Result {
    html.write_str("<section><h2>Outcomes</h2><table class=\"bars\"><tbody>")?;
    let all = report.requests.max(1) as f64;
    for (place, (label, count)) in report.outcomes_by_count().into_iter().enumerate() {
        let share = count as f64 / all * 100.0;
        let class = place.min(COLOURS - 1);
        write!(
            html,
            "<tr><th>{}<td>{}<td>{share:.2}%<td class=\"bar\"><i class=\"c{class}\" style=\"width:{share:.2}%\"></i>",
            escaped(label),
            grouped(count)
        )?;
    }
    html.write_str("</tbody></table></section>")
}

fn checks(report: &Report, html: &mut String) -> std::fmt::Result {
    if report.checks.is_empty() {
        return Ok(());
    }
    html.write_str("<section><h2>Checks</h2><ul class=\"checks\">")?;
    for check in &report.checks {
        let (class, word) = if check.ok { ("ok", "passed") } else { ("bad", "failed") };
        let name = check.name.replace('_', " ");
        write!(
            html,
            "<li class=\"{class}\"><b>{name}</b> <em>{word}</em><p>{}</p></li>",
            escaped(&check.detail)
        )?;
    }
    html.write_str("</ul></section>")
}

fn settings(report: &Report, html: &mut String) -> std::fmt::Result {
    let its = &report.settings;
    let mut rows = vec![
        (
            "loop",
            its.rate
                .map_or_else(|| its.r#loop.to_owned(), |rate| format!("open, {} a second", grouped_f(rate))),
        ),
        ("connections", its.connections.to_string()),
        (
            "flights",
            format!("{}{}", its.flights, if its.flights_made { ", made for it" } else { ", there before" }),
        ),
        ("seats in all", grouped(its.seats)),
        ("skew", its.skew.to_string()),
        ("seats a grab", its.party.to_string()),
        ("customers", grouped(its.customers.into())),
        ("keys", if its.keys { "on every grab" } else { "on repeated grabs only" }.to_owned()),
        ("grabs repeated", format!("{}%", its.replays * 100.0)),
        ("warm-up", format!("{} s", its.warmup_seconds)),
        ("duration asked for", format!("{} s", its.duration_seconds)),
        ("this tool's processor time", format!("{} us a request", report.client_cpu_us_per_request)),
    ];
    if let Some(live) = &report.live {
        let text =
            format!("{}, {} events, cut off {} times", live.readers, grouped(live.events), live.cut_off);
        rows.push(("live readers", text));
        if let Some(last) = &live.last_reader {
            let ms = |us: u64| us.div_ceil(1000);
            let text = format!("{} ms (median), {} ms (longest)", ms(last.p50_us), ms(last.max_us));
            rows.push(("change to its last live reader", text));
        }
    }
    html.write_str("<section><h2>Settings</h2><dl>")?;
    for (name, value) in rows {
        write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value))?;
    }
    html.write_str("</dl></section>")
}

const STYLE: &str = r#"
:root{--ground:#f6f7f9;--card:#fff;--ink:#1b2430;--dim:#5d6b7c;--rule:#e2e6ec;--good:#14804a;--bad:#c22d2d;
--c0:#2463c4;--c1:#e07b1a;--c2:#1d9a8a;--c3:#b3429a;--c4:#8a7a1e;--c5:#8b95a3}
@media(prefers-color-scheme:dark){:root{--ground:#11161d;--card:#1a212b;--ink:#e6ebf2;--dim:#97a4b5;--rule:#2c3643;
--good:#4cc38a;--bad:#ff7b72;--c0:#6ea8fe;--c1:#ffab5e;--c2:#4fd1c0;--c3:#e58fd0;--c4:#d8c455;--c5:#768394}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 48px}
header p{margin:0;color:var(--dim)}h1{margin:2px 0;font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
h2{margin:0 0 8px;font-size:1.05rem}.dim{color:var(--dim)}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px;margin-top:16px}
.verdict{margin:16px 0 0;padding:10px 16px;border-radius:10px;font-weight:600;border:1px solid;background:var(--card)}
.verdict.ok{color:var(--good)}.verdict.bad{color:var(--bad)}.verdict.none{color:var(--dim)}
.note{margin:8px 0 0;padding:8px 16px;border-left:3px solid var(--c1);background:var(--card)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:12px}
.figures b{display:block;font-size:1.35rem;line-height:1.2;font-variant-numeric:tabular-nums}
.figures span{color:var(--dim);font-size:.85rem}
svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font-size:12px;font-family:inherit}
.grid{stroke:var(--rule);stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.area{opacity:.85;stroke-width:.5}
.line.c0{stroke:var(--c0)}.line.c1{stroke:var(--c1)}
.c0{fill:var(--c0);background:var(--c0)}.c1{fill:var(--c1);background:var(--c1)}.c2{fill:var(--c2);background:var(--c2)}
.c3{fill:var(--c3);background:var(--c3)}.c4{fill:var(--c4);background:var(--c4)}.c5{fill:var(--c5);background:var(--c5)}
svg .line{fill:none}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;color:var(--dim);font-size:.85rem;margin-bottom:6px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap;font-weight:400}
thead th{color:var(--dim);font-size:.85rem}th:first-child{text-align:left}tbody tr:last-child>*{border-bottom:0}
td:first-child,th:first-child{padding-left:0}
.bars .bar{width:40%;padding-right:0}.bars i{display:block;height:10px;border-radius:3px;min-width:2px}
.checks{list-style:none;margin:0;padding:0}.checks li{padding:8px 0 8px 14px;border-left:3px solid;margin-top:8px}
.checks li b{color:var(--ink)}.checks em{font-style:normal;font-size:.85rem}.checks p{margin:2px 0 0;color:var(--dim);overflow-wrap:anywhere}
.checks .ok{border-color:var(--good);color:var(--good)}.checks .bad{border-color:var(--bad);color:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:6px 24px;margin:0}
dl div{display:flex;justify-content:space-between;gap:12px;border-bottom:1px solid var(--rule);padding:3px 0}
dt{color:var(--dim)}dd{margin:0;text-align:right}
@media(max-width:520px){svg text{font-size:18px}.bars .bar{display:none}section{padding:12px}}
"#;
