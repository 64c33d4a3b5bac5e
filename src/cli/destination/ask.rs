//! Asking a person on a terminal for what the arguments have not said.

use std::io::{self, BufRead, Write};

use secrecy::SecretString;

/// One line, without its end. What is asked goes to standard error, where a script's output is not.
pub fn line(question: &str) -> io::Result<String> {
    let mut err = io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim().to_owned()),
    }
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

/// What does not show while it is pasted.
pub fn secret(question: &str) -> io::Result<SecretString> {
    rpassword::prompt_password(question).map(SecretString::from)
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
