//! What the conformance tests leave open: precedence, literals, casts, errors that meet, faults with their places.

use super::*;

#[test]
fn operators_bind_as_the_specification_says() {
    check(
        r#"
        2 + 3 * 4 => 14
        20 / 2 / 5 => 2
        10 - 3 - 2 => 5
        1 + 1 = 2 => true
        1 < 2 = true => true
        true or false and false => false
        false and false or true => true
        false and true or true => true
        true xor true or true => true
        NOT 1 = 2 => false
        NOT true = false => true
        NOT 'true' LIKE 'f%' => true
        NOT 'ab' IN ('ab') => false !cast
        1 + '2' LIKE '3' => 1
        -1 LIKE '-_' => true
        - 1 + 3 => 2
        -(1 + 3) => -4
        2 - -1 => 3
        2-1 => 1
        2 -1 => 1
        2 +1 => 3
        3*-2 => -6
        'ab' LIKE 'a_' LIKE 'tr%' => true
        'ab' LIKE 'a%' IN (true) NOT IN (false) => true
        NOT NOT NOT true => false
        EXISTS id AND NOT EXISTS time OR false => true
    "#,
    );
}

#[test]
fn literals_mean_what_they_say() {
    check(
        r#"
        +5 => 5
        -0 => 0
        007 => 7
        -2147483648 => -2147483648
        2147483647 => 2147483647
        2147483648 => !parse
        - 2147483648 => !parse
        -2147483649 => !parse
        '' => ''
        'it\'s "so"' => 'it's "so"'
        "it's \"so\"" => 'it's "so"'
        'a\\' => 'a\\'
        'a\"b' => 'a\"b'
        'äöü 日本 😀' => 'äöü 日本 😀'
        'a''b' => !parse
        TRUEISH {trueish=so} => 'so'
        1a {1a=so} => 'so'
        a1B {a1b=so} => 'so'
        Subject {subject=so} => 'so'
    "#,
    );
}

#[test]
fn casts_follow_the_right_operand_or_the_operator() {
    check(
        r#"
        '01' = 1 => true
        1 = '01' => false
        1 = '1' => true
        -1 = '-1' => true
        0 = '-0' => false
        1 = '+1' => false
        1 = true => true
        2 = true => true
        true = 1 => true
        true = 2 => false
        'x' = true => false !cast
        'x' != 1 => false !cast
        'x' < 1 => false !cast
        '+7' + 0 => 7
        ' 7' + 0 => 0 !cast
        '' + 0 => 0 !cast
        '2147483648' + 0 => 0 !cast
        NOT 0 => true
        1 AND 'TRUE' => true
        'x' XOR true => false !cast
        5 IN ('5', 'x') => true
        5 IN ('x', '5') => false !cast
        'x' IN ('x', missing) => true
        'y' IN ('x', missing) => false !missing
        n = '5' {n:5} => true
        n = 5 {n=5} => true
        n LIKE '5%' {n:55} => true
        b {b:false} => false
        LENGTH(5) => 1
        LEFT(12345, '2') => '12'
    "#,
    );
}

#[test]
fn the_first_error_ends_it_with_the_zero_value_of_the_whole() {
    check(
        r#"
        2147483647 + 1 => 0 !math
        -2147483648 - 1 => 0 !math
        65536 * 65536 => 0 !math
        -2147483648 / -1 => 0 !math
        -2147483648 % -1 => 0
        -7 / 2 => -3
        -7 % 2 => -1
        7 % -2 => 1
        --2147483648 => 0 !math
        1 / 0 = missing => false !math
        missing = 1 / 0 => false !missing
        NOT (1 / 0) => false !math
        -missing => 0 !missing
        CONCAT('a', missing) => '' !missing
        LENGTH(missing) => 0 !missing
        BOOL(missing) => false !missing
        ABS(ABS(-2147483648)) => 0 !math
        LEFT(LEFT('abc', -1), 1) => '' !function
        LEFT('abc', -1) = 'abc' => false !function
        missing LIKE '%' => false !missing
        missing NOT IN ('a') => false !missing
        missing OR true => false !missing
        true OR missing => true
        false AND missing => false
        false AND missing OR true => true
        SUBSTRING('abc', 'x') => '' !cast
        LEFT('abc', 'x') => '' !cast
        SUBSTRING('abc', 1, -1) => '' !function
        SUBSTRING('abc', 0, -1) => '' !function
        SUBSTRING('abc', 2, 0) => ''
        SUBSTRING('abc', -3) => 'abc'
        SUBSTRING('', 0) => ''
        SUBSTRING('', 1) => '' !function
        SUBSTRING('日本語', 2, 1) => '本'
        RIGHT('日本語', 2) => '本語'
        LENGTH('日本語😀') => 4
        UPPER('straße') => 'STRASSE'
        LOWER('ÄÖ') => 'äö'
        CONCAT_WS('', 1, true) => '1true'
    "#,
    );
}

#[test]
fn patterns_have_no_other_magic() {
    check(
        r#"
        'a\nb' LIKE 'a%b' => true
        '日本' LIKE '_本' => true
        '日本' LIKE '__' => true
        '日本' LIKE '___' => false
        '' LIKE '' => true
        '' LIKE '%' => true
        '' LIKE '_' => false
        'abc' LIKE '%%' => true
        'abc' LIKE '%_%_%_%' => true
        'abc' LIKE '%_%_%_%_' => false
        'abcabc' LIKE '%a_c' => true
        'ab' LIKE 'ab%b' => false
        'aXbaYb' LIKE '%a_b' => true
        'xaYbz' LIKE '%a_b%' => true
        'xaYbz' LIKE '%a_c%' => false
        'a.c' LIKE 'a.c' => true
        'abc' LIKE 'a.c' => false
        'Abc' LIKE 'abc' => false
        'a\b' LIKE 'a\b' => true
        'a%' LIKE 'a\%' => true
        'ab' LIKE 'a\%' => false
        'a\\%' LIKE 'a\\\%' => true
    "#,
    );
}

#[test]
fn faults_name_the_place_and_what_would_be_right() {
    check_faults(&[
        (
            "",
            "at column 1: expected an attribute, a literal, a function, NOT, -, EXISTS or (, found the end",
        ),
        (
            "a = ",
            "at column 5: expected an attribute, a literal, a function, NOT, -, EXISTS or (, found the end",
        ),
        ("a b", "at column 3: expected an operator or the end, found `b`"),
        ("(a", "at column 3: expected an operator or ), found the end"),
        ("a)", "at column 2: expected an operator or the end, found `)`"),
        (
            "a LIKE b",
            "at column 8: expected a string literal as the pattern of LIKE, found `b`",
        ),
        ("a NOT 'x'", "at column 7: expected LIKE or IN behind NOT, found `'x'`"),
        ("a IN 1", "at column 6: expected ( and the elements of IN, found `1`"),
        (
            "a IN ()",
            "at column 7: expected an attribute, a literal, a function, NOT, -, EXISTS or (, found `)`",
        ),
        (
            "a IN (1 2)",
            "at column 9: expected an operator, a comma or ), found `2`",
        ),
    ]);
}

#[test]
fn faults_of_words_name_what_there_is() {
    check_faults(&[
        (
            "EXISTS 'a'",
            "at column 8: expected the name of an attribute behind EXISTS, found `'a'`",
        ),
        (
            "EXISTS",
            "at column 7: expected the name of an attribute behind EXISTS, found the end",
        ),
        (
            "EXISTS true",
            "at column 8: expected the name of an attribute behind EXISTS, found `true`",
        ),
        (
            "a_b = 1",
            "at column 1: expected a name of letters a-z and digits, or a function with its (, found `a_b`",
        ),
        (
            "99999999999",
            "at column 1: expected an integer from -2147483648 to 2147483647, found `99999999999`",
        ),
        (
            "'äö' = \"abc",
            "at column 8: expected a string that ends with \", found the end",
        ),
        ("+ 1", "at column 3: expected digits behind +, found `1`"),
        ("LEFT('a')", "at column 1: expected LEFT with 2 arguments, found 1"),
        (
            "true AND substring(a)",
            "at column 10: expected SUBSTRING with 2 to 3 arguments, found 1",
        ),
        (
            "CONCAT_WS()",
            "at column 1: expected CONCAT_WS with 1 argument or more, found 0",
        ),
        (
            "ä = 1",
            "at column 1: expected an attribute, a literal, a function, NOT, -, EXISTS or (, or an operator, found `ä`",
        ),
        (
            "f(1)",
            "at column 1: expected one of the functions ABS, BOOL, CONCAT, CONCAT_WS, INT, LEFT, LENGTH, LOWER, RIGHT, \
             STRING, SUBSTRING, TRIM, UPPER, found `f`",
        ),
    ]);
}

fn check_faults(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let fault = Expression::parse(text).map(|_| ()).expect_err(text);
        assert_eq!(fault.to_string(), *expected, "{text}");
    }
}

#[test]
fn nesting_has_a_limit_and_rows_have_none() {
    let brackets = |levels: usize| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    for (text, is_good) in [
        (brackets(MAX_NESTING), true),
        (brackets(MAX_NESTING + 1), false),
        (brackets(100_000), false),
        (format!("{}true", "NOT ".repeat(MAX_NESTING)), true),
        (format!("{}true", "NOT ".repeat(MAX_NESTING + 1)), false),
        (format!("{}x", "- ".repeat(100_000)), false),
        (
            format!("{}1{}", "ABS(".repeat(MAX_NESTING), ")".repeat(MAX_NESTING)),
            true,
        ),
        (
            format!(
                "{}1{}",
                "2 * 1 + 0 = 1 OR 1 IN (".repeat(MAX_NESTING),
                ")".repeat(MAX_NESTING)
            ),
            true,
        ),
        ("ABS(".repeat(100_000), false),
        ("1 IN (".repeat(100_000), false),
        (format!("true{}", " AND true".repeat(10_000)), true),
        (format!("true{}", " LIKE 'true'".repeat(10_000)), true),
        (format!("0{}", " + 1 * 1".repeat(10_000)), true),
    ] {
        let start: String = text.chars().take(30).collect();
        let parsed = Expression::parse(&text);
        assert_eq!(parsed.is_ok(), is_good, "{start}");
        if parsed.is_ok() {
            assert_ne!(outcome(&text, &event("")), "", "{start}");
        }
    }
}

#[test]
fn work_on_large_texts_ends() {
    let large = format!("large={}", "a".repeat(1024 * 1024));
    let event = event(&large);
    let anys = "_".repeat(1_000);
    for (text, expected) in [
        (format!("CONCAT({}'')", "large, ".repeat(1_000)), "false !generic"),
        (format!("large LIKE '%b{anys}b%'"), "false !generic"),
        (
            format!("1 IN ({}1)", "LENGTH(LOWER(large)), ".repeat(300)),
            "false !generic",
        ),
        (format!("large LIKE '%{}b%'", "a".repeat(1_000)), "false"),
        ("large LIKE '%a%a%a' AND LENGTH(large) = 1048576".to_owned(), "true"),
    ] {
        let start: String = text.chars().take(30).collect();
        assert!(
            outcome(&text, &event).ends_with(expected.trim_start_matches("false ")),
            "{start}"
        );
    }
}
