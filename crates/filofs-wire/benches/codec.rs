//! What it costs to read a request and to write its answer, without serving it.

#![allow(missing_docs)] // of what criterion's macros make

use criterion::{Criterion, criterion_group, criterion_main};
use filofs_wire::abi::{AttrOut, EntryOut, GetattrIn, InHeader, ReadIn, WriteIn};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::dirent::{Dirent, DirentPlusBuffer};
use filofs_wire::name::Name;
use filofs_wire::reply;
use filofs_wire::request::{Operation, Request};
use std::hint::black_box;

const UNIQUE: u64 = 2;
const PAGE: u32 = 4096;

fn message(operation: &Operation<'_>) -> Vec<u8> {
    let header = InHeader { unique: UNIQUE, nodeid: 7, ..InHeader::default() };
    compose::request(header, operation, &[], Dialect::BEFORE_INIT).unwrap_or_default()
}

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap_or_else(|bad| panic!("{text}: {bad:?}"))
}

fn codec(criterion: &mut Criterion) {
    let parse = |bytes: &[u8]| Request::parse(black_box(bytes), Dialect::BEFORE_INIT).is_ok();
    let mut group = criterion.benchmark_group("parse and answer");

    let bytes = message(&Operation::Lookup { name: name("a-name-of-usual-length") });
    group.bench_function("lookup", |bencher| {
        bencher.iter(|| (parse(&bytes), reply::entry(UNIQUE, black_box(EntryOut::default()))));
    });
    let bytes = message(&Operation::Getattr { arg: GetattrIn::default() });
    group.bench_function("getattr", |bencher| {
        bencher.iter(|| (parse(&bytes), reply::attr(UNIQUE, black_box(AttrOut::default()))));
    });
    let bytes = message(&Operation::Read { arg: ReadIn { size: PAGE, ..ReadIn::default() } });
    group.bench_function("read", |bencher| {
        bencher.iter(|| (parse(&bytes), reply::data(UNIQUE, black_box(PAGE as usize)).is_ok()));
    });
    let arg = WriteIn { size: PAGE, ..WriteIn::default() };
    let bytes = message(&Operation::Write { arg, data: &[7; PAGE as usize] });
    group.bench_function("write", |bencher| {
        bencher.iter(|| (parse(&bytes), reply::write(UNIQUE, black_box(PAGE))));
    });
    let arg = ReadIn { size: 8 * PAGE, ..ReadIn::default() };
    let bytes = message(&Operation::Readdirplus { arg });
    let names: Vec<String> = (0..100).map(|number| format!("name{number:05}")).collect();
    let mut buffer = vec![0; 8 * PAGE as usize];
    group.bench_function("readdirplus of 100 names", |bencher| {
        bencher.iter(|| {
            let mut out = DirentPlusBuffer::new(&mut buffer);
            let mut all = parse(&bytes);
            for (next, text) in (1..).zip(&names) {
                let dirent = Dirent { ino: next, next, kind: 8, name: name(text) };
                all &= out.push(&EntryOut::default(), &dirent).is_ok();
            }
            assert!(all, "there is room for a hundred names");
            reply::data(UNIQUE, out.len()).is_ok()
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
