//! Quartz cron expressions, as far as schedules of jobs use them: how often one fires between two moments.
//!
//! Time zones are taken as UTC: the simulator counts runs, it does not plan them.

use jiff::civil::Date;

/// A parsed Quartz expression: second, minute, hour, day of month, month, day of week, optionally year.
#[derive(Clone, Debug)]
pub struct Cron {
    times: Vec<u32>,
    days: Vec<u32>,
    months: Vec<u32>,
    /// Quartz counts 1 (Sunday) to 7 (Saturday); empty: any (`?` or `*`).
    weekdays: Vec<u32>,
    years: Vec<u32>,
    last_day: bool,
}

impl Cron {
    /// Parses `text`; `None` when it is no Quartz expression.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !(6..=7).contains(&fields.len())
            || (fields[3] == "?") == (fields[5] == "?") && fields[3] == "?"
        {
            return None;
        }
        let (seconds, minutes, hours) = (
            numbers(fields[0], 0, 59, &[])?,
            numbers(fields[1], 0, 59, &[])?,
            numbers(fields[2], 0, 23, &[])?,
        );
        let mut times = Vec::with_capacity(seconds.len() * minutes.len() * hours.len());
        for hour in &hours {
            for minute in &minutes {
                times.extend(
                    seconds
                        .iter()
                        .map(|second| hour * 3600 + minute * 60 + second),
                );
            }
        }
        let last_day = fields[3] == "L";
        Some(Self {
            times,
            days: if last_day {
                Vec::new()
            } else {
                numbers(fields[3], 1, 31, &[])?
            },
            months: numbers(fields[4], 1, 12, MONTHS)?,
            weekdays: if matches!(fields[5], "?" | "*") {
                Vec::new()
            } else {
                numbers(fields[5], 1, 7, WEEKDAYS)?
            },
            years: match fields.get(6) {
                Some(year) => numbers(year, 1970, 2199, &[])?,
                None => Vec::new(),
            },
            last_day,
        })
    }

    /// How often the expression fires after `from` and not after `to` (epoch milliseconds), and when last.
    pub fn fires(&self, from: i64, to: i64) -> (u64, Option<i64>) {
        const DAY: i64 = 86_400;
        // A moment between two seconds belongs to the earlier one: a fire at second `s` counts when from < s <= to.
        let (from, to) = (from.div_euclid(1000), to.div_euclid(1000));
        let (mut count, mut last) = (0, None);
        for day in from.div_euclid(DAY)..=to.div_euclid(DAY) {
            if !self.on_day(day) {
                continue;
            }
            let midnight = day * DAY;
            let before = self
                .times
                .partition_point(|time| midnight + i64::from(*time) <= from);
            let until = self
                .times
                .partition_point(|time| midnight + i64::from(*time) <= to);
            if until > before {
                count += (until - before) as u64;
                last = Some((midnight + i64::from(self.times[until - 1])) * 1000);
            }
        }
        (count, last)
    }

    fn on_day(&self, days_since_epoch: i64) -> bool {
        let Ok(date) = i32::try_from(days_since_epoch)
            .map(|days| Date::constant(1970, 1, 1).saturating_add(jiff::Span::new().days(days)))
        else {
            return false;
        };
        let month_day = if self.last_day {
            date.day() == date.days_in_month()
        } else {
            self.days.contains(&(date.day() as u32))
        };
        let weekday = date.weekday().to_sunday_one_offset() as u32;
        month_day
            && self.months.contains(&(date.month() as u32))
            && (self.weekdays.is_empty() || self.weekdays.contains(&weekday))
            && (self.years.is_empty() || self.years.contains(&(date.year() as u32)))
    }
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The sorted numbers that one field allows: `*`, `?`, `a`, `a-b`, `a/step`, `*/step` and lists of these.
fn numbers(field: &str, low: u32, high: u32, names: &[&str]) -> Option<Vec<u32>> {
    let one = |text: &str| -> Option<u32> {
        let named = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
            .map(|at| at as u32 + 1);
        named
            .or_else(|| text.parse().ok())
            .filter(|number| (low..=high).contains(number))
    };
    let mut found = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (low, high),
            Some((first, last)) => (one(first)?, one(last)?),
            None if part.contains('/') => (one(range)?, high),
            None => (one(range)?, one(range)?),
        };
        found.extend((first..=last).step_by(step as usize));
    }
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn fires(text: &str, days: i64) -> u64 {
        // 2026-11-22 00:00:00 UTC, a Sunday.
        let start = 1_795_305_600_000;
        Cron::parse(text)
            .expect(text)
            .fires(start, start + days * DAY)
            .0
    }

    #[test]
    fn counts_fires() {
        assert_eq!(fires("0 0 3 * * ?", 7), 7);
        assert_eq!(
            fires("0 0/15 * * * ?", 1),
            96,
            "midnight of the first day is not after the start, that of the second is"
        );
        assert_eq!(fires("0 30 6 ? * MON-FRI", 7), 5);
        assert_eq!(fires("0 30 6 ? * 1", 7), 1);
        assert_eq!(fires("17 0 12 1 * ?", 31), 1);
        assert_eq!(fires("0 0 12 L * ?", 31), 1);
        assert_eq!(fires("0 0 12 1 1 ? 2030", 31), 0);
    }

    #[test]
    fn says_when_last() {
        let cron = Cron::parse("0 0 3 * * ?").expect("valid");
        assert_eq!(cron.fires(0, 2 * DAY), (2, Some(DAY + 3 * 3_600_000)));
        assert_eq!(cron.fires(DAY, DAY), (0, None));
    }

    #[test]
    fn refuses_what_is_not_quartz() {
        for text in [
            "",
            "0 3 * * *",
            "0 0 25 * * ?",
            "0 0 3 ? * ?",
            "0 0/0 3 * * ?",
            "a b c d e f",
        ] {
            assert!(Cron::parse(text).is_none(), "{text}");
        }
    }
}
