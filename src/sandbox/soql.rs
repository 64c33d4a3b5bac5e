//! A small honest part of SOQL, read: `SELECT fields | COUNT() FROM object [WHERE field = | != | < | <= | > | >= | LIKE | IN … [AND …]]
//! [ORDER BY …] [LIMIT n] [OFFSET n]`. All else is malformed here, and says so. Pure.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::refusal::Refusal;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub select: Select,
    pub from: String,
    pub conditions: Vec<Condition>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    Fields(Vec<String>),
    Count,
}

/// All must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub field: String,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Among(Vec<Literal>),
    NotAmong(Vec<Literal>),
    /// On which sides of the literal the value may be.
    Compared(&'static [Ordering], Literal),
    Like(Vec<Letter>),
}

/// Of what follows LIKE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Letter {
    Is(char),
    /// `_`.
    One,
    /// `%`.
    Any,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Text(String),
    Number(f64),
    Boolean(bool),
    Time(Timestamp),
    Null,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub field: String,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(Vec<Letter>),
    Number(f64),
    Symbol(&'static str),
}

pub fn parse(text: &str) -> Result<Query, Refusal> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0 };
    let query = reader.query()?;
    match reader.peek() {
        None => Ok(query),
        Some(token) => Err(unexpected(Some(token))),
    }
}

const KNOWN: &str = "the sandbox knows SELECT fields or COUNT(), WHERE with =, !=, <, <=, >, >=, LIKE and IN joined by \
                     AND, ORDER BY, LIMIT and OFFSET";

fn malformed(what: &str) -> Refusal {
    Refusal::new("MALFORMED_QUERY", format!("{what} ({KNOWN})"))
}

fn unexpected(token: Option<&Token>) -> Refusal {
    match token {
        None => malformed("unexpected token: '<EOF>'"),
        Some(Token::Word(text)) => malformed(&format!("unexpected token: '{text}'")),
        Some(Token::Text(letters)) => malformed(&format!("unexpected token: '{}'", text(letters))),
        Some(Token::Number(number)) => malformed(&format!("unexpected token: '{number}'")),
        Some(Token::Symbol(symbol)) => malformed(&format!("unexpected token: '{symbol}'")),
    }
}

const SYMBOLS: [&str; 10] = ["!=", "<>", "<=", ">=", "<", ">", "=", "(", ")", ","];

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, left) = if first == '\'' {
            quoted(&rest[1..])?
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            (Token::Symbol(symbol), &rest[symbol.len()..])
        } else {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | ':');
            let (word, left) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
            match (word, word.parse()) {
                ("", _) => return Err(malformed(&format!("unexpected token: '{first}'"))),
                (_, Ok(number)) if first.is_ascii_digit() || first == '-' => (Token::Number(number), left),
                _ => (Token::Word(word.to_owned()), left),
            }
        };
        tokens.push(token);
        rest = left.trim_start();
    }
    Ok(tokens)
}

/// What follows an opening quote, up to the closing one.
fn quoted(text: &str) -> Result<(Token, &str), Refusal> {
    let mut value = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((Token::Text(value), &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push(Letter::Is('\n')),
                Some((_, 'r')) => value.push(Letter::Is('\r')),
                Some((_, 't')) => value.push(Letter::Is('\t')),
                Some((_, c @ ('\'' | '"' | '\\' | '_' | '%'))) => value.push(Letter::Is(c)),
                _ => return Err(malformed("line has an illegal escape")),
            },
            '_' => value.push(Letter::One),
            '%' => value.push(Letter::Any),
            c => value.push(Letter::Is(c)),
        }
    }
    Err(malformed("unterminated string"))
}

/// Where nothing stands for anything else.
fn text(letters: &[Letter]) -> String {
    let letter = |letter: &Letter| match letter {
        Letter::Is(c) => *c,
        Letter::One => '_',
        Letter::Any => '%',
    };
    letters.iter().map(letter).collect()
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&Token> {
        self.at += 1;
        self.tokens.get(self.at - 1)
    }

    /// Whether the next token is this word, which is then taken.
    fn takes(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn takes_symbol(&mut self, symbol: &'static str) -> bool {
        let is = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, word: &str) -> Result<(), Refusal> {
        if self.takes(word) { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Result<(), Refusal> {
        if self.takes_symbol(symbol) { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    fn name(&mut self) -> Result<String, Refusal> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word.clone()),
            other => Err(unexpected(other)),
        }
    }

    fn query(&mut self) -> Result<Query, Refusal> {
        self.expect("SELECT")?;
        let select = self.select()?;
        self.expect("FROM")?;
        let from = self.name()?;
        let (mut conditions, mut order) = (Vec::new(), Vec::new());
        if self.takes("WHERE") {
            conditions.push(self.condition()?);
            while self.takes("AND") {
                conditions.push(self.condition()?);
            }
        }
        if self.takes("ORDER") {
            self.expect("BY")?;
            order.push(self.order()?);
            while self.takes_symbol(",") {
                order.push(self.order()?);
            }
        }
        let limit = if self.takes("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.takes("OFFSET") { self.count()? } else { 0 };
        Ok(Query { select, from, conditions, order, limit, offset })
    }

    fn select(&mut self) -> Result<Select, Refusal> {
        let mut names = vec![self.name()?];
        if names[0].eq_ignore_ascii_case("COUNT") && self.takes_symbol("(") {
            self.expect_symbol(")")?;
            return Ok(Select::Count);
        }
        while self.takes_symbol(",") {
            names.push(self.name()?);
        }
        Ok(Select::Fields(names))
    }

    fn condition(&mut self) -> Result<Condition, Refusal> {
        let field = self.name()?;
        if self.takes("IN") {
            return Ok(Condition { field, test: Test::Among(self.literals()?) });
        }
        if self.takes("NOT") {
            self.expect("IN")?;
            return Ok(Condition { field, test: Test::NotAmong(self.literals()?) });
        }
        if self.takes("LIKE") {
            return match self.next() {
                Some(Token::Text(letters)) => Ok(Condition { field, test: Test::Like(letters.clone()) }),
                other => Err(unexpected(other)),
            };
        }
        let sides: &[Ordering] = match self.next() {
            Some(Token::Symbol("=")) => return Ok(Condition { field, test: Test::Among(vec![self.literal()?]) }),
            Some(Token::Symbol("!=" | "<>")) => {
                return Ok(Condition { field, test: Test::NotAmong(vec![self.literal()?]) });
            }
            Some(Token::Symbol("<")) => &[Ordering::Less],
            Some(Token::Symbol("<=")) => &[Ordering::Less, Ordering::Equal],
            Some(Token::Symbol(">")) => &[Ordering::Greater],
            Some(Token::Symbol(">=")) => &[Ordering::Greater, Ordering::Equal],
            other => return Err(unexpected(other)),
        };
        Ok(Condition { field, test: Test::Compared(sides, self.literal()?) })
    }

    fn literals(&mut self) -> Result<Vec<Literal>, Refusal> {
        self.expect_symbol("(")?;
        let mut literals = vec![self.literal()?];
        while self.takes_symbol(",") {
            literals.push(self.literal()?);
        }
        self.expect_symbol(")")?;
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        match self.next() {
            Some(Token::Text(letters)) => Ok(Literal::Text(text(letters))),
            Some(Token::Number(number)) => Ok(Literal::Number(*number)),
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "true" => Ok(Literal::Boolean(true)),
                "false" => Ok(Literal::Boolean(false)),
                "null" => Ok(Literal::Null),
                // A time has no quotes: 2026-11-22T03:04:05Z.
                _ => word.parse().map(Literal::Time).map_err(|_| malformed(&format!("unexpected token: '{word}'"))),
            },
            other => Err(unexpected(other)),
        }
    }

    fn order(&mut self) -> Result<Order, Refusal> {
        let field = self.name()?;
        let descending = !self.takes("ASC") && self.takes("DESC");
        let mut nulls_last = descending;
        if self.takes("NULLS") {
            nulls_last = !self.takes("FIRST");
            if nulls_last {
                self.expect("LAST")?;
            }
        }
        Ok(Order { field, descending, nulls_last })
    }

    fn count(&mut self) -> Result<usize, Refusal> {
        match self.next() {
            Some(Token::Number(number)) if *number >= 0.0 && number.fract() == 0.0 => Ok(*number as usize),
            other => Err(unexpected(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read() {
        let text = "select Id, name from lead where Leadrelay_Key__c='a\\'b' AND DoNotCall = TRUE and Email NOT IN \
                    ('x', null) ORDER BY CreatedDate DESC, Id NULLS LAST LIMIT 10 OFFSET 5";
        let query = parse(text).unwrap();
        assert_eq!(query.select, Select::Fields(vec!["Id".into(), "name".into()]));
        let condition = |field: &str, test| Condition { field: field.into(), test };
        assert_eq!(
            query.conditions,
            [
                condition("Leadrelay_Key__c", Test::Among(vec![Literal::Text("a'b".into())])),
                condition("DoNotCall", Test::Among(vec![Literal::Boolean(true)])),
                condition("Email", Test::NotAmong(vec![Literal::Text("x".into()), Literal::Null])),
            ]
        );
        assert_eq!(query.order[0], Order { field: "CreatedDate".into(), descending: true, nulls_last: true });
        assert_eq!(query.order[1], Order { field: "Id".into(), descending: false, nulls_last: true });
        assert_eq!((query.limit, query.offset), (Some(10), 5));
        assert_eq!(parse("SELECT COUNT() FROM Lead").unwrap().select, Select::Count);
        let query = parse("SELECT Id FROM Lead WHERE a LIKE 'x\\_%_' AND b >= 2026-11-22T03:04:05Z").unwrap();
        let like = vec![Letter::Is('x'), Letter::Is('_'), Letter::Any, Letter::One];
        let since = Literal::Time("2026-11-22T03:04:05Z".parse().unwrap());
        let at_least = Test::Compared(&[Ordering::Greater, Ordering::Equal], since);
        assert_eq!(query.conditions, [condition("a", Test::Like(like)), condition("b", at_least)]);
    }

    #[test]
    fn what_is_not_known_is_malformed_and_says_at_what() {
        let check = |text: &str, token: &str| {
            let refusal = parse(text).unwrap_err();
            assert_eq!(refusal.code, "MALFORMED_QUERY");
            assert!(refusal.message.starts_with(token), "{text}: {}", refusal.message);
        };
        check("", "unexpected token: '<EOF>'");
        check("DELETE FROM Lead", "unexpected token: 'DELETE'");
        check("SELECT Id FROM Lead WHERE Name LIKE 5", "unexpected token: '5'");
        check("SELECT Id FROM Lead WHERE Name >= ", "unexpected token: '<EOF>'");
        check("SELECT Id FROM Lead WHERE Name = x", "unexpected token: 'x'");
        check("SELECT Id FROM Lead WHERE Name = 'x' OR Name = 'y'", "unexpected token: 'OR'");
        check("SELECT Id FROM Lead WHERE Name = 'x", "unterminated string");
        check("SELECT Id FROM Lead WHERE (Name = 'x')", "unexpected token: '('");
        check("SELECT COUNT(Id) FROM Lead", "unexpected token: 'Id'");
        check("SELECT Id FROM Lead LIMIT -1", "unexpected token: '-1'");
        check("SELECT Id FROM Lead GROUP BY Name", "unexpected token: 'GROUP'");
        check("SELECT Id; FROM Lead", "unexpected token: ';'");
    }
}
