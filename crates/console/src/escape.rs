//! Text that is safe to print: names from a workspace may hold control characters, and a terminal obeys them.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::time::Duration;

/// Replaces control characters (line ends too), separators and invisible format characters, which can reorder or hide
/// text, by `\u{..}` escapes.
///
/// ```
/// assert_eq!(lifeboat_console::escape("a\u{1b}[31mb"), r"a\u{1b}[31mb");
/// assert_eq!(lifeboat_console::escape("Müller"), "Müller");
/// ```
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            other if is_unsafe(other) => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(other));
            }
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

/// Like [`escape`], for whole texts: line ends and tabs stay.
pub(crate) fn escape_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for piece in text.split_inclusive(['\n', '\t']) {
        let (body, end) = match piece.strip_suffix(['\n', '\t']) {
            Some(body) => (body, &piece[body.len()..]),
            None => (piece, ""),
        };
        safe.push_str(&escape(body));
        safe.push_str(end);
    }
    safe
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            u32::from(character),
            // Soft hyphen, Arabic letter mark, Mongolian separator, zero width, bidirectional marks, line and
            // paragraph separators, invisible operators, isolates, byte order mark, interlinear, tags.
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f
        )
}

/// A number of bytes for people, in binary units: `17 B`, `3.4 KiB`, `1.2 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A number of things for people: `1 archive`, `2 archives`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// A duration for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 7 min`, `3 d 4 h`.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=9 => format!("{:.1} s", length.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(escape("a\nb\tc\rd"), "a\\nb\\tc\\rd");
        assert_eq!(escape("x\u{202e}gpj.exe"), "x\\u{202e}gpj.exe");
        assert_eq!(escape("\u{7f}\u{9b}\u{2028}"), "\\u{7f}\\u{9b}\\u{2028}");
        assert!(matches!(escape("Grüße 日本 🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn whole_texts_keep_their_lines() {
        assert_eq!(escape_text("a\n\tb\u{1b}c\n"), "a\n\tb\\u{1b}c\n");
        assert_eq!(escape_text("no end"), "no end");
        assert_eq!(escape_text(""), "");
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!(counted(1_u64, "archive"), "1 archive");
        assert_eq!(counted(0_usize, "archive"), "0 archives");
        assert_eq!(counted(2_u64, "other file"), "2 other files");
    }

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(1_288_490_188), "1.2 GiB");
        assert_eq!(duration(Duration::from_millis(420)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(duration(Duration::from_secs(7620)), "2 h 7 min");
    }
}
