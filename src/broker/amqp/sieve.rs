//! What the broker sends, made harmless before lapin reads it.
//!
//! A producer writes properties and headers as it likes, and the broker passes them on as they came. lapin reads nested
//! values by recursion without a limit: 1,000 levels, 5 kB, run a thread's stack out and abort the process. And it takes
//! a short string that is not UTF-8 for the end of the connection, for ever again, since the message comes back. So such
//! frames are changed on their way, in place: no byte more, no byte less.
//!
//! The layouts are those of <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 2.3.5 (content headers) and
//! 4.2.5 (fields), with the types of <https://www.rabbitmq.com/docs/amqp-0-9-1-errata#section_3>.

use std::io;

/// A value nested deeper than this becomes the bytes that it is made of: a byte array has the layout of an array and
/// of a table. Whatever walks a header may do so by recursion.
pub(super) const DEPTH_MAX: usize = 32;

/// A method or a header larger than this is nothing that RabbitMQ sends: it allows 128 KiB, unless it is told otherwise.
const FRAME_MAX: usize = 16 * 1024 * 1024;

/// Type, channel and size; and the one byte that ends a frame.
const FRAME_HEAD: usize = 7;
const FRAME_END: usize = 1;

/// The bytes of one connection on their way.
#[derive(Default)]
pub(super) struct Sieve {
    bytes: Vec<u8>,
    /// Of `bytes`, what has gone, and from there what may go.
    gone: usize,
    harmless: usize,
    /// What is still to come of a frame that passes as it is.
    passing: usize,
}

impl Sieve {
    /// Takes in what has come.
    pub fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.drain(..self.gone);
        self.harmless -= self.gone;
        self.gone = 0;
        self.bytes.extend_from_slice(bytes);
        loop {
            let rest = &mut self.bytes[self.harmless..];
            if self.passing > 0 && !rest.is_empty() {
                let passes = self.passing.min(rest.len());
                self.passing -= passes;
                self.harmless += passes;
                continue;
            }
            let Some((kind, size)) = frame_head(rest) else { return Ok(()) };
            if !matches!(kind, METHOD | HEADER) {
                self.passing = size;
                continue;
            }
            if size > FRAME_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
            }
            let Some(frame) = rest.get_mut(..size) else { return Ok(()) };
            soften(kind, &mut frame[FRAME_HEAD..size - FRAME_END]);
            self.harmless += size;
        }
    }

    /// At most so many bytes that may go.
    pub fn drain(&mut self, room: usize) -> &[u8] {
        let from = self.gone;
        self.gone = self.harmless.min(from.saturating_add(room));
        &self.bytes[from..self.gone]
    }
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;

/// The type of a frame, and its size, head and end included.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, _, _, size @ ..] = bytes.first_chunk::<FRAME_HEAD>()?;
    Some((*kind, FRAME_HEAD + u32::from_be_bytes(*size) as usize + FRAME_END))
}

/// Where a payload is not of the layout that is expected, the rest of it is left to lapin.
fn soften(kind: u8, payload: &mut [u8]) {
    let mut reader = Reader { bytes: payload };
    let _ = if kind == METHOD { reader.method() } else { reader.content_header() };
}

/// Walks a payload, and changes what would do harm. `None`: it ended too soon.
struct Reader<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Reader<'a> {
    /// The methods that repeat what a producer wrote, its routing key.
    fn method(&mut self) -> Option<()> {
        match (self.number::<2>()?, self.number::<2>()?) {
            // basic.return: code, text, exchange, routing key
            (60, 50) => {
                self.take(2)?;
                (0..3).try_for_each(|_| self.short_string())
            }
            // basic.deliver: consumer, tag, redelivered, exchange, routing key
            (60, 60) => {
                self.short_string()?;
                self.take(8 + 1)?;
                (0..2).try_for_each(|_| self.short_string())
            }
            _ => Some(()),
        }
    }

    fn content_header(&mut self) -> Option<()> {
        // Class, weight, size of the body.
        self.take(2 + 2 + 8)?;
        let present = self.number::<2>()?;
        for (place, property) in PROPERTIES.iter().enumerate() {
            if present & (1 << (15 - place)) == 0 {
                continue;
            }
            match property {
                Property::Text => self.short_string()?,
                Property::Headers => self.content(true, 0)?,
                Property::Fixed(size) => drop(self.take(*size)?),
            }
        }
        Some(())
    }

    /// The inside of a table (`named`) or of an array, with its length before it.
    fn content(&mut self, named: bool, depth: usize) -> Option<()> {
        let size = self.number::<4>()? as usize;
        let mut inside = Reader { bytes: self.take(size)? };
        while !inside.bytes.is_empty() {
            if named {
                inside.short_string()?;
            }
            inside.value(depth + 1)?;
        }
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let kind = &mut self.take(1)?[0];
        if depth > DEPTH_MAX && matches!(*kind, b'A' | b'F') {
            *kind = b'x';
        }
        let fixed = match *kind {
            b'A' => return self.content(false, depth),
            b'F' => return self.content(true, depth),
            b'S' | b'x' => self.number::<4>()? as usize,
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            // RabbitMQ reads every header, and refuses what it does not know.
            _ => return None,
        };
        self.take(fixed).map(drop)
    }

    fn short_string(&mut self) -> Option<()> {
        let size = self.number::<1>()? as usize;
        let text = self.take(size)?;
        if std::str::from_utf8(text).is_err() {
            text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        Some(())
    }

    fn number<const SIZE: usize>(&mut self) -> Option<u32> {
        Some(self.take(SIZE)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn take(&mut self, size: usize) -> Option<&'a mut [u8]> {
        self.bytes.split_off_mut(..size)
    }
}

enum Property {
    Text,
    Headers,
    Fixed(usize),
}

/// In the order of their flags, from the highest bit down.
const PROPERTIES: [Property; 14] = [
    Property::Text,     // content type
    Property::Text,     // content encoding
    Property::Headers,  // headers
    Property::Fixed(1), // delivery mode
    Property::Fixed(1), // priority
    Property::Text,     // correlation id
    Property::Text,     // reply to
    Property::Text,     // expiration
    Property::Text,     // message id
    Property::Fixed(8), // timestamp
    Property::Text,     // type
    Property::Text,     // user id
    Property::Text,     // app id
    Property::Text,     // cluster id
];

#[cfg(test)]
mod tests;
