//! Asking a person on a terminal for what the arguments have not said.

use std::io::{self, BufRead, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

/// One line, without its end. What is asked goes to standard error, where a script's output is not.
pub fn line(question: &str) -> io::Result<String> {
    let mut err = io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => {
            writeln!(err)?;
            Err(unanswered())
        }
        _ => Ok(line.trim().to_owned()),
    }
}

fn unanswered() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "no answer came: nothing was written")
}

/// One line, or what is given where the person only presses Enter.
pub fn line_or(question: &str, default: &str) -> io::Result<String> {
    let line = line(&format!("{question} [{default}] "))?;
    Ok(if line.is_empty() { default.to_owned() } else { line })
}

/// One of several, by its number.
pub fn choice(question: &str, choices: &[&str]) -> io::Result<usize> {
    let list: String = choices.iter().enumerate().map(|(nth, choice)| format!("  {}  {choice}\n", nth + 1)).collect();
    loop {
        let number = line(&format!("{question}\n{list}> "))?.parse::<usize>();
        match number {
            Ok(number) if (1..=choices.len()).contains(&number) => return Ok(number - 1),
            Ok(_) | Err(_) => eprintln!("write a number from 1 to {}", choices.len()),
        }
    }
}

pub fn yes(question: &str) -> io::Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

/// What does not show while it is pasted. The terminal is silent before it is asked: who is quick would else be seen.
pub fn secret(question: &str) -> io::Result<SecretString> {
    let _silent = Silent::new()?;
    let mut err = io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let secret = line_unseen();
    writeln!(err)?;
    secret
}

fn line_unseen() -> io::Result<SecretString> {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        let read = stdin.fill_buf()?;
        let end = read.iter().position(|byte| matches!(*byte, b'\n' | INTERRUPT));
        let taken = end.map_or(read.len(), |end| end + 1);
        line.extend_from_slice(&read[..taken]);
        stdin.consume(taken);
        match line.last() {
            Some(&INTERRUPT) => {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted: nothing was written"));
            }
            _ if taken == 0 => return Err(unanswered()),
            Some(b'\n') => break,
            Some(_) | None => {}
        }
    }
    let line = String::from_utf8(line).map_err(|_| io::Error::other("what was pasted is not UTF-8: copy it again"))?;
    Ok(SecretString::from(line.trim_end_matches(['\n', '\r'])))
}

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;

/// While it lives, the terminal does not show what is typed. Ctrl-C ends the line instead of us: else the terminal would
/// stay silent behind us.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// One line, or, if it begins a form, all of it to its end.
pub fn line_or_form(question: &str) -> io::Result<String> {
    let mut text = line(question)?;
    // One paste may hold blank lines; the form says itself where it ends.
    while text.contains('<') && !text.to_ascii_lowercase().contains("</form>") {
        let mut more = String::new();
        if io::stdin().lock().read_line(&mut more)? == 0 {
            break;
        }
        text = text + "\n" + more.trim_end();
    }
    Ok(text)
}
