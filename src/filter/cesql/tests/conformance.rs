//! The behavior that the language's conformance tests (cesql/cesql_tck) ask for, case by case, in tables of our own.

use super::check;

// `EXPRESSION [{NAME=TEXT; NAME:VALUE}] => VALUE [!ERROR]`, a row each; `:` gives an attribute that is no string.

#[test]
fn comparisons() {
    check(
        r#"
        TRUE = FALSE => false
        FALSE = FALSE => true
        1 = 2 => false
        2 = 2 => true
        'abc' = '123' => false
        'abc' = 'abc' => true
        missing = 2 => false !missing
        TRUE != FALSE => true
        FALSE != FALSE => false
        1 != 2 => true
        2 != 2 => false
        'abc' != '123' => true
        'abc' != 'abc' => false
        missing != 2 => false !missing
        TRUE <> FALSE => true
        FALSE <> FALSE => false
        1 <> 2 => true
        2 <> 2 => false
        'abc' <> '123' => true
        'abc' <> 'abc' => false
        missing <> 2 => false !missing
        2 <= 2 => true
        3 <= 2 => false
        1 < 2 => true
        2 < 2 => false
        2 >= 2 => true
        2 >= 3 => false
        2 > 1 => true
        2 > 2 => false
        missing <= 2 => false !missing
        true = 'TRUE' => false
        'TRUE' = true => true
    "#,
    );
}

#[test]
fn logic() {
    check(
        r#"
        FALSE AND FALSE => false
        FALSE AND TRUE => false
        TRUE AND FALSE => false
        TRUE AND TRUE => true
        false and (1 != 1 / 0) => false
        true and (1 != 1 / 0) => false !math
        FALSE OR FALSE => false
        FALSE OR TRUE => true
        TRUE OR FALSE => true
        TRUE OR TRUE => true
        true or (1 != 1 / 0) => true
        false or (1 != 1 / 0) => false !math
        FALSE XOR FALSE => false
        FALSE XOR TRUE => true
        TRUE XOR FALSE => true
        TRUE XOR TRUE => false
    "#,
    );
}

#[test]
fn arithmetic() {
    check(
        r#"
        4 * 2 + 4 / 2 => 10
        4 * (2 + 4) / 2 => 12
        5 / 3 => 1
        5 / 0 => 0 !math
        5 % 2 => 1
        5 % 0 => 0 !math
        missing / 0 => 0 !missing
        missing % 0 => 0 !missing
        4 + 1 => 5
        -4 + 1 => -3
        -4 + -1 => -5
        4 + -1 => 3
        4 - 1 => 3
        -4 - 1 => -5
        '5' + 3 => 8
        5 + '3' => 8
        '5' + '3' => 8
        5 + TRUE => 6
    "#,
    );
}

#[test]
fn the_case_of_keywords() {
    check(
        r#"
        TRUE => true
        TRUE => true
        tRuE => true
        FALSE => false
        FALSE => false
        FaLsE => false
        'aBcD' => 'aBcD'
    "#,
    );
}

#[test]
fn casts() {
    check(
        r#"
        INT('1') => 1
        INT('-1') => -1
        INT(1) => 1
        INT(-1) => -1
        INT(TRUE) => 1
        INT(FALSE) => 0
        INT('ABC') => 0 !cast
        BOOL('TRUE') => true
        BOOL("false") => false
        BOOL(TRUE) => true
        BOOL(FALSE) => false
        BOOL('ABC') => false !cast
        BOOL(1) => true
        BOOL(0) => false
        BOOL(100) => true
        BOOL(-50) => true
        STRING(TRUE) => 'true'
        STRING(FALSE) => 'false'
        STRING(1) => '1'
        STRING(-1) => '-1'
        STRING("abc") => 'abc'
    "#,
    );
}

#[test]
fn attributes() {
    check(
        r#"
        id {id=a-1} => 'a-1'
        subject {subject=keys} => 'keys'
        subject {id=a-1; source=localhost.localdomain; type=myType} => false !missing
        flag {flag:true} => true
        count {count:10} => 10
        note {note=a note} => 'a note'
        source {id=a-1; source=http://a.test/b; type=myType} => 'http://a.test/b'
        time {id=a-1; source=http://a.test/b; type=myType; time=2018-04-26T14:48:09+02:00} => '2018-04-26T14:48:09+02:00'
    "#,
    );
}

#[test]
fn exists() {
    check(
        r#"
        EXISTS specversion AND EXISTS id AND EXISTS type AND EXISTS SOURCE => true
        EXISTS time {id=a-1; source=http://a.test/b; type=myType; time=2018-04-26T14:48:09+02:00} => true
        EXISTS time {id=a-1; source=http://a.test/b; type=myType} => false
        NOT EXISTS time {id=a-1; source=http://a.test/b; type=myType} => true
        EXISTS note {id=a-1; source=http://a.test/b; type=myType; note=my value} => true
        EXISTS note {id=a-1; source=http://a.test/b; type=myType} => false
        NOT EXISTS note {id=a-1; source=http://a.test/b; type=myType} => true
    "#,
    );
}

#[test]
fn sets() {
    check(
        r#"
        123 IN (1, 2, 3, 12, 13, 23, 123) => true
        123 NOT IN (1, 2, 3, 12, 13, 23, 123) => false
        'abc' IN ('abc', "bcd") => true
        'aaa' IN ('abc', "bcd") => false
        TRUE IN (TRUE, FALSE) => true
        TRUE IN (FALSE) => false
        source IN (note, 'abc') {id=a-1; source=http://a.test/b; type=myType; note=http://a.test/b} => true
        source IN (source) {id=a-1; source=http://a.test/b; type=myType; note=http://a.test/b} => true
        source IN (id, "http://a.test/b") {id=a-1; source=http://a.test/b; type=myType; note=http://a.test/b} => true
        source IN (id, 'xyz') {id=a-1; source=http://a.test/b; type=myType} => false
        'true' IN (TRUE, 'false') => true
        'true' IN ('TRUE', 'false') => false
        TRUE IN ('true', 'false') => true
        'TRUE' IN (TRUE, 'false') => false
        1 IN ('1', '2') => true
        '1' IN (1, 2) => true
    "#,
    );
}

#[test]
fn functions_of_integers() {
    check(
        r#"
        ABS(10) => 10
        ABS(-10) => 10
        ABS(0) => 0
        ABS(-2147483648) => 2147483647 !math
    "#,
    );
}

#[test]
fn patterns() {
    check(
        r#"
        'abc' LIKE 'abc' => true
        'ab\c' LIKE 'ab\c' => true
        'abc' NOT LIKE 'abc' => false
        'abc' LIKE 'a%b%c' => true
        'azbc' LIKE 'a%b%c' => true
        'azzzbzzzc' LIKE 'a%b%c' => true
        'a%b%c' LIKE 'a%b%c' => true
        'ac' LIKE 'abc' => false
        '' LIKE 'abc' => false
        '.ab.cde.' LIKE '.%.%.' => true
        'ab.cde' LIKE '.%.%.' => false
        'abc' LIKE 'a_b_c' => false
        'a_b_c' LIKE 'a_b_c' => true
        'abzc' LIKE 'a_b_c' => false
        'azbc' LIKE 'a_b_c' => false
        'azbzc' LIKE 'a_b_c' => true
        '.a.b.' LIKE '._._.' => true
        'abcd.' LIKE '._._.' => false
        'a_b_c' LIKE 'a\_b\_c' => true
        'a_b_c' NOT LIKE 'a\_b\_c' => false
        'azbzc' LIKE 'a\_b\_c' => false
        'abc' LIKE 'a\_b\_c' => false
        'abc' LIKE 'a\%b\%c' => false
        'a%b%c' LIKE 'a\%b\%c' => true
        'azbzc' LIKE 'a\%b\%c' => false
        'abc' LIKE 'a\%b\%c' => false
        note LIKE 'in%07\%8\_x_z' {note=in07%07%8_xyz} => true
        note NOT LIKE 'in%07\%8\_x_z' {note=in07%07%8_xyz} => false
        234 LIKE '23_' => true
        2344 LIKE '23%' => true
        2344 LIKE '23_' => false
        TRUE LIKE 'tr%' => true
        TRUE LIKE '%ue' => true
        FALSE LIKE 'tr%' => false
        FALSE LIKE 'fal%' => true
        x LIKE 123 {x=123} => !parse
        missing LIKE 'missing' => false !missing
    "#,
    );
}

#[test]
fn literals() {
    check(
        r#"
        TRUE => true
        FALSE => false
        0 => 0
        1 => 1
        'abc' => 'abc'
        "abc" => 'abc'
        'aBc' => 'aBc'
        "AbC" => 'AbC'
        'a"b\'c' => 'a"b'c'
        "a'b\"c" => 'a'b"c'
    "#,
    );
}

#[test]
fn minus() {
    check(
        r#"
        -10 => -10
        --10 => 10
        -'10' => -10
        --'10' => 10
        -TRUE => -1
        -missing => 0 !missing
    "#,
    );
}

#[test]
fn not() {
    // The tests expect a cast error of `NOT 10`, against section 3.7 and their own `BOOL(10)`.
    check(
        r#"
        NOT TRUE => false
        NOT FALSE => true
        NOT 'TRUE' => false
        NOT 'FALSE' => true
        NOT 10 => false
        NOT missing => false !missing
    "#,
    );
}

#[test]
fn what_does_not_parse() {
    check(
        r#"
        ABC( => !parse
    "#,
    );
}

#[test]
fn the_examples_of_the_specification() {
    check(
        r#"
        int(step) < int(last) and int(step) < 1000 {step=5; last=10} => true
        INT(step) < INT(last) AND INT(step) < 1000 {step=5; last=10} => true
        step < last {step=5; last=10} => true
        sequence = 5 {sequence=5} => true
        sequence = 5 {sequence=6} => false
        given = 'Ada' OR subject = 'Ada' {subject=Ada; given=Max} => true
        given = 'Ada' OR subject = 'Ada' {given=Ada; subject=Max} => true
        (given = 'Ada' AND family = 'Byron') OR subject = 'Ada Byron' {subject=Max; given=Ada; family=Byron} => true
        (given = 'Ada' AND family = 'Byron') OR subject = 'Ada Byron' {subject=Ada Byron; given=Max; family=Born} => true
        EXISTS subject {subject=Ada Byron} => true
        true AND (missing = "") => false !missing
        missing * 5 => 0 !missing
        1 / missing => 0 !missing
    "#,
    );
}

#[test]
fn functions_of_texts() {
    // A function that is not there is found when parsing.
    check(
        r#"
        LENGTH('abc') => 3
        LENGTH('') => 0
        LENGTH('2') => 1
        LENGTH(TRUE) => 4
        CONCAT('a', 'b', 'c') => 'abc'
        CONCAT() => ''
        CONCAT('a') => 'a'
        CONCAT_WS(',', 'a', 'b', 'c') => 'a,b,c'
        CONCAT_WS(',') => ''
        CONCAT_WS(',', 'a') => 'a'
        CONCAT_WS() => !parse
        LOWER('ABC') => 'abc'
        LOWER('AbC') => 'abc'
        LOWER('abc') => 'abc'
        UPPER('ABC') => 'ABC'
        UPPER('AbC') => 'ABC'
        UPPER('abc') => 'ABC'
        TRIM('   a b c   ') => 'a b c'
        TRIM('   a b c') => 'a b c'
        TRIM('a b c   ') => 'a b c'
        TRIM('a b c') => 'a b c'
        LEFT('abc', 2) => 'ab'
        LEFT('abc', 10) => 'abc'
        LEFT('', 0) => ''
        LEFT('abc', -2) => 'abc' !function
        RIGHT('abc', 2) => 'bc'
        RIGHT('abc', 10) => 'abc'
        RIGHT('', 0) => ''
        RIGHT('abc', -2) => 'abc' !function
        SUBSTRING('abcdef', 1) => 'abcdef'
        SUBSTRING('abcdef', 2) => 'bcdef'
        SUBSTRING('Thermodynamics', 5) => 'modynamics'
        SUBSTRING('Tidings', -3) => 'ngs'
        SUBSTRING('abcdef', 1, 6) => 'abcdef'
        SUBSTRING('abcdef', 2, 4) => 'bcde'
        SUBSTRING('Tidings', -5, 3) => 'din'
        SUBSTRING('Thermodynamics', 0) => ''
        SUBSTRING('Thermodynamics', 0, 1) => ''
        SUBSTRING('abcdef', 10) => '' !function
        SUBSTRING('abcdef', -10) => '' !function
        SUBSTRING('abcdef', 10, 10) => '' !function
        SUBSTRING('abcdef', -10, 10) => '' !function
    "#,
    );
}

#[test]
fn brackets() {
    check(
        r#"
        (TRUE) => true
        4 * (2 + 3) => 20
        (2 + 3) * 4 => 20
    "#,
    );
}

#[test]
fn what_other_dialects_say() {
    check(
        r#"
        source LIKE 'https://%' {source=https://sstep.test} => true
        source LIKE 'https://%' {source=http://sstep.test} => false
        note LIKE 'paid%' {note=paidext} => true
        note LIKE 'paid%' => false !missing
        type like '%.error' {type=io.sstep.error} => true
        type like '%.error' {type=io.sstep.success} => false
        note LIKE '%ext' {note=paidext} => true
        note LIKE '%ext' => false !missing
        id = 'a-1' {id=a-1} => true
        id = 'a-1' {id=b-2} => false
        note = 'paidext' {note=paidext} => true
        note = 'paidext' => false !missing
        id LIKE 'a-%' AND source LIKE '%.ca' {id=a-1; source=http://sstep.test.ca} => true
        id LIKE 'a-%' AND source LIKE '%.ca' {id=a-1; source=http://sstep.test.com} => false
        note LIKE 'paid%' AND type LIKE '%.error' {note=paidext; type=io.sstep.error} => true
        type LIKE 'io.%' AND note LIKE 'paid%' {type=io.sstep.type} => false !missing
        id LIKE 'a-%' OR source LIKE '%.ca' {id=a-1; source=http://sstep.test.ca} => true
        id LIKE 'a-%' OR source LIKE '%.ca' {id=a-1; source=http://sstep.test.com} => true
        id LIKE 'a-%' OR source LIKE '%.ca' {id=b-2; source=http://sstep.test.ca} => true
        id LIKE 'a-%' OR source LIKE '%.ca' {id=b-2; source=http://sstep.test.com} => false
        (id = 'a-1' AND type LIKE '%.success') OR (id = 'b-2' AND source LIKE 'http://%' AND type LIKE '%.warning') {id=a-1; type=io.sstep.success} => true
        (id = 'a-1' AND type LIKE '%.success') OR (id = 'b-2' AND source LIKE 'http://%' AND type LIKE '%.warning') {id=b-2; type=io.sstep.warning; source=http://a.test} => true
        (id = 'a-1' AND type LIKE '%.success') OR (id = 'b-2' AND source LIKE 'http://%' AND type LIKE '%.warning') {id=b-2; type=io.sstep.warning; source=https://a.test} => false
        (id = 'a-1' OR type LIKE '%.success') AND (id = 'b-2' OR source LIKE 'https://%' OR type LIKE '%.warning') {id=a-1; type=io.sstep.warning; source=http://a.test} => true
        (id = 'a-1' OR type LIKE '%.success') AND (id = 'b-2' OR source LIKE 'https://%' OR type LIKE '%.warning') {id=b-2; type=io.sstep.success; source=http://a.test} => true
        (id = 'a-1' OR type LIKE '%.success') AND (id = 'b-2' OR source LIKE 'https://%' OR type LIKE '%.warning') {id=b-2; type=io.sstep.warning; source=http://a.test} => false
        (id = 'a-1' OR type LIKE '%.success') AND (id = 'b-2' OR source LIKE 'https://%' OR type LIKE '%.warning') {id=a-1; type=io.sstep.success; source=http://a.test} => false
        (id = 'a-1' OR type LIKE '%.success') AND (id = 'b-2' OR source LIKE 'https://%' OR type LIKE '%.warning') AND (note = 'paidext') {id=a-1; type=io.sstep.warning; source=http://a.test} => false !missing
    "#,
    );
}
