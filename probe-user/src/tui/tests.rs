use super::rows::{Column, Order};
use super::state::View;
use super::*;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Cost, Limits, Mode, Model};
use crate::present::source::NoSource;
use crate::trace::{PollEnd, TraceEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn screen(shop: &Shop, mode: Mode, because: Option<&str>) -> Screen {
    let mut model = Model::new(mode, shop.frames.clone(), SECOND, Limits::default());
    model.apply(Update::Snapshot(Box::new(shop.busy_day(SECOND))), &mut vec![]);
    let target = Target {
        pid: 4242,
        exe: "/srv/shop/target/release/shop".into(),
        because: because.map(str::to_owned),
    };
    Screen::new(target, model, Box::new(NoSource), false)
}

fn traced(shop: &Shop) -> Screen {
    let mut screen = screen(shop, Mode::Session, None);
    let poll = |t_ns, id, end| TraceEvent::Poll {
        t_ns,
        task: tokio(id),
        tid: 7,
        count: 3,
        duration_ns: Some(id * MS),
        end,
        off_cpu: None,
    };
    let t = 2 * SECOND;
    let events = vec![
        poll(t, 10, PollEnd::Pending),
        TraceEvent::State {
            t_ns: t,
            task: tokio(20),
            from: shop.sleeping().into(),
            to: shop.reading().into(),
        },
        poll(t, 20, PollEnd::Pending),
        poll(t, 21, PollEnd::Panicked),
        TraceEvent::Lost { t_ns: t, count: 2 },
    ];
    for update in [
        Update::Cost(Cost { hits: 0, target_ns: Some(0), ..Cost::default() }),
        Update::Tick(SECOND + 1),
        Update::Trace(events),
        Update::Tick(3 * SECOND),
        Update::Cost(Cost { hits: 9, target_ns: Some(9 * MS), cpu_ns: Some(SECOND), ..Cost::default() }),
    ] {
        screen.apply(update, &mut vec![]);
    }
    screen
}

fn press(screen: &mut Screen, keys: &[KeyCode]) {
    for key in keys {
        screen.key(KeyEvent::new(*key, KeyModifiers::NONE));
        screen.refresh(true);
    }
}

fn typed(screen: &mut Screen, text: &str) {
    press(screen, &text.chars().map(KeyCode::Char).collect::<Vec<_>>());
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    screen.refresh(true);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, screen)).unwrap();
    let text = terminal.backend().to_string();
    // The backend quotes its lines; what is at their end does not matter.
    text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
}

#[test]
fn table() {
    let shop = Shop::new();
    insta::assert_snapshot!(drawn(&mut traced(&shop), 130, 18));
}

#[test]
fn figures_that_have_no_room_are_left_out_whole() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    let words = [" tasks", " idle", " running", " polls/s", " lost", " of its CPU time", " watched"];
    let mut most = 0;
    for width in 40..130 {
        let text = drawn(&mut screen, width, 10);
        let figures = text.lines().nth(1).unwrap();
        assert!(words.iter().any(|word| figures.ends_with(word)), "{width}: {figures}");
        assert!(figures.contains("2 lost") || width < 60, "{width}: {figures}");
        most = most.max(figures.chars().count());
    }
    assert!(most > 60, "where there is room there are more");
}

#[test]
fn table_of_snapshots_on_a_narrow_terminal() {
    let shop = Shop::new();
    let mut screen = screen(&shop, Mode::Snapshots, Some("CAP_BPF is missing"));
    screen.apply(Update::Note("a snapshot failed: \x1b[2J".into()), &mut vec![]);
    insta::assert_snapshot!(drawn(&mut screen, 90, 12));
}

#[test]
fn card_of_a_traced_task() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    drawn(&mut screen, 110, 20);
    let at = screen.rows.iter().position(|id| id.id == 20).unwrap();
    screen.select(at);
    press(&mut screen, &[KeyCode::Enter]);
    // It moved since the snapshot: the card says where it is now, and that the tree is older.
    insta::assert_snapshot!(drawn(&mut screen, 110, 18));
    press(&mut screen, &[KeyCode::Esc]);
    assert_eq!(screen.view, View::Table);
}

#[test]
fn card_scrolls_to_the_end_and_not_beyond() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    screen.view = View::Card(tokio(10));
    press(&mut screen, &[KeyCode::End]);
    let text = drawn(&mut screen, 100, 13);
    assert!(text.contains("tokio::io::util::read::Read"), "{text}");
    assert!(screen.card_top < 5);
}

#[test]
fn name_and_place_stay_to_the_last() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    let titles = |screen: &mut Screen, width| drawn(screen, width, 10).lines().nth(3).unwrap().to_owned();
    assert_eq!(titles(&mut screen, 40).split_whitespace().collect::<Vec<_>>(), ["Name", "Location"]);
    assert!(drawn(&mut screen, 40, 10).contains("by idle"), "what it is sorted by is told all the same");
    let mut before = 2;
    for width in 40..130 {
        let titles = titles(&mut screen, width);
        let columns = titles.replace('▼', "").split_whitespace().count();
        assert!(columns >= before && titles.contains("Name") && titles.contains("Location"), "{titles}");
        before = columns;
    }
    assert_eq!(before, 9);
    insta::assert_snapshot!(drawn(&mut screen, 60, 14));
}

#[test]
fn rows_are_in_the_order_of_what_is_shown() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    drawn(&mut screen, 120, 18);
    let task = screen.rows[0];
    let poll = TraceEvent::Poll {
        t_ns: 4 * SECOND,
        task,
        tid: 7,
        count: 1,
        duration_ns: Some(MS),
        end: PollEnd::Pending,
        off_cpu: None,
    };
    screen.apply(Update::Trace(vec![poll]), &mut vec![]);
    // No key asks for it.
    std::thread::sleep(Duration::from_millis(20));
    screen.refresh(false);
    let now = screen.now_ns();
    let idle = |id| screen.model().get(id).and_then(|task| task.idle_for(now)).map(|(ns, _)| ns);
    let idles: Vec<_> = screen.rows.iter().filter_map(|id| idle(*id)).collect();
    assert!(idles.is_sorted_by(|a, b| a >= b) && screen.rows[0] != task, "{idles:?}");
}

#[test]
fn help_scrolls_where_it_has_no_room() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    press(&mut screen, &[KeyCode::Char('?')]);
    assert!(!drawn(&mut screen, 40, 10).contains("not known"));
    press(&mut screen, &[KeyCode::Down, KeyCode::End]);
    let text = drawn(&mut screen, 40, 10);
    assert!(text.contains("not known") && text.contains("lines 17 to 21 of 21"), "{text}");
    press(&mut screen, &[KeyCode::Home, KeyCode::Esc]);
    assert!(!screen.help && !screen.quits());
}

#[test]
fn help_and_an_ended_target() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    let end = End::TargetExited { status: Some("exit status: 1".into()) };
    screen.apply(Update::End { t_ns: 4 * SECOND, end }, &mut vec![]);
    press(&mut screen, &[KeyCode::Char('?')]);
    insta::assert_snapshot!(drawn(&mut screen, 110, 26));
    press(&mut screen, &[KeyCode::Char('x')]);
    assert!(!screen.help && !screen.quits());
    press(&mut screen, &[KeyCode::Char('q')]);
    assert!(screen.quits());
}

#[test]
fn sorting_keeps_unknown_last() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    screen.refresh(true);
    screen.order.column = Column::Id;
    press(&mut screen, &[KeyCode::Left, KeyCode::Right]);
    assert_eq!(screen.order.column, Column::Id);
    let ids: Vec<u64> = screen.rows.iter().map(|id| id.id).collect();
    assert!(ids.is_sorted());
    screen.order.column = Column::Sched;
    press(&mut screen, &[KeyCode::Left]);
    assert_eq!(screen.order.column, Column::Busy);
    let busiest = screen.model().get(screen.rows[0]).unwrap();
    assert_eq!(busiest.id.id, 21, "ended, and yet the busiest");
    screen.order.column = Column::Polls;
    press(&mut screen, &[KeyCode::Left]);
    for descending in [true, false] {
        assert_eq!(screen.order, Order { column: Column::Idle, descending });
        let last = screen.model().get(*screen.rows.last().unwrap()).unwrap();
        assert_eq!(last.idle_for(9 * SECOND), None);
        press(&mut screen, &[KeyCode::Char('i')]);
    }
}

#[test]
fn filter_while_typing_and_search() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    screen.order = Order { column: Column::Id, descending: false };
    typed(&mut screen, "/CART");
    assert_eq!(screen.rows, [tokio(30)]);
    assert!(drawn(&mut screen, 100, 10).contains("filter: CART"));
    press(&mut screen, &[KeyCode::Esc]);
    assert_eq!(screen.rows.len(), 11, "Esc while typing takes it back");
    typed(&mut screen, "/#12");
    press(&mut screen, &[KeyCode::Enter]);
    assert_eq!(screen.rows, [tokio(12)]);
    press(&mut screen, &[KeyCode::Esc]);
    typed(&mut screen, "/panicked");
    assert_eq!(screen.rows, [tokio(21)]);
    press(&mut screen, &[KeyCode::Enter, KeyCode::Esc, KeyCode::Char('e')]);
    assert_eq!(screen.rows.len(), 10, "without the one that ended");

    typed(&mut screen, "sapi.rs:171");
    press(&mut screen, &[KeyCode::Enter]);
    let first = screen.rows[screen.selected].id;
    press(&mut screen, &[KeyCode::Char('n')]);
    let second = screen.rows[screen.selected].id;
    press(&mut screen, &[KeyCode::Char('N')]);
    assert_eq!((screen.rows[screen.selected].id, second > first), (first, true));
    typed(&mut screen, "snowhere");
    press(&mut screen, &[KeyCode::Enter]);
    assert_eq!(screen.note.as_deref(), Some("nothing here matches \"nowhere\""));
}

#[test]
fn pause_freezes_what_is_shown_and_loses_nothing() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    press(&mut screen, &[KeyCode::Char(' ')]);
    let name = "shop::late".into();
    let spawn = TraceEvent::Spawn { t_ns: 4 * SECOND, task: tokio(77), name, parent: None };
    screen.apply(Update::Trace(vec![spawn]), &mut vec![]);
    assert!(!drawn(&mut screen, 120, 18).contains("shop::late"));
    assert!(drawn(&mut screen, 120, 18).contains("PAUSED"));
    press(&mut screen, &[KeyCode::Char(' ')]);
    assert!(drawn(&mut screen, 120, 18).contains("shop::late"));
}

#[test]
fn the_cursor_keeps_its_task_when_rows_move() {
    let shop = Shop::new();
    let mut screen = traced(&shop);
    press(&mut screen, &[KeyCode::Down, KeyCode::Down, KeyCode::Down]);
    let id = screen.rows[screen.selected];
    press(&mut screen, &[KeyCode::Char('i')]);
    assert_eq!(screen.rows[screen.selected], id);
    press(&mut screen, &[KeyCode::End]);
    assert_eq!(screen.selected, screen.rows.len() - 1);
    drawn(&mut screen, 100, 10);
    assert_eq!(screen.top + screen.page, screen.rows.len());
}

#[test]
fn rates_and_costs_look_back_two_seconds() {
    let shop = Shop::new();
    let screen = traced(&shop);
    assert_eq!(screen.poll_rate(), Some(4), "nine polls in two seconds");
    assert_eq!(screen.own_share(), None);
}

#[test]
fn drawing_a_hundred_thousand_tasks_formats_only_what_fits() {
    let shop = Shop::new();
    let mut screen = screen(&shop, Mode::Session, None);
    let reading = shop.reading();
    let tasks = (0..100_000).map(|id| shop.fetching(id, &reading)).collect();
    screen.apply(Update::Snapshot(Box::new(shop.snapshot(2 * SECOND, tasks))), &mut vec![]);
    let text = drawn(&mut screen, 120, 20);
    assert!(text.contains("1 of 100,0"), "{text}");
    assert_eq!(screen.visible().len(), 14);
    assert!(text.lines().filter(|line| line.contains("fetch_user")).count() > 10, "{text}");
}

#[test]
fn findings_have_a_screen_of_their_own() {
    let shop = Shop::new();
    let mut screen = screen(&shop, Mode::Snapshots, None);
    for at in [2, 3] {
        screen.apply(Update::Snapshot(Box::new(shop.deadlock(at * SECOND))), &mut vec![]);
    }
    // Lints are rationed by what they take.
    while screen.diagnosis().findings().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
        screen.apply(Update::Tick(3 * SECOND), &mut vec![]);
    }
    assert!(drawn(&mut screen, 110, 12).contains("1 finding (f)"));
    press(&mut screen, &[KeyCode::Char('f')]);
    insta::assert_snapshot!(drawn(&mut screen, 110, 20));
    press(&mut screen, &[KeyCode::Char('f')]);
    assert_eq!(screen.view, View::Table);
}
