;; The inner loop of CRI framing: see cri-framing.ts, which owns the memory and says where things are.
;;
;; Sixteen bytes are looked at and copied at a time. That may read up to fifteen bytes behind the input and
;; write up to fifteen behind a record: the memory has room for it, and the next record covers them.
(module
  (import "framing" "memory" (memory 1))

  (global $read (mut i32) (i32.const 0))
  (global $written (mut i32) (i32.const 0))
  (global $records (mut i32) (i32.const 0))
  (global $pieces (mut i32) (i32.const 0))

  ;; Where in the memory the first byte is that was not taken.
  (func (export "read") (result i32) (global.get $read))
  ;; The end of the last record; after "gather", how long all are.
  (func (export "written") (result i32) (global.get $written))
  (func (export "records") (result i32) (global.get $records))
  (func (export "pieces") (result i32) (global.get $pieces))

  ;; Assembles records of what is from $from up to $end, one behind the other from $to on, until all is
  ;; taken or a record would begin behind $last. The record's head is at $head: 45 bytes, with 3 more that
  ;; may be anything.
  (func (export "frame")
    (param $head i32) (param $from i32) (param $end i32) (param $to i32) (param $last i32) (param $size i32)
    (local $head0 v128) (local $head1 v128) (local $head2 v128)
    (local $newlines v128) (local $bytes v128)
    (local $at i32) (local $out i32) (local $limit i32) (local $found i32) (local $record i32) (local $count i32)

    (local.set $head0 (v128.load (local.get $head)))
    (local.set $head1 (v128.load offset=16 (local.get $head)))
    (local.set $head2 (v128.load offset=32 (local.get $head)))
    (local.set $newlines (i8x16.splat (i32.const 10)))
    (local.set $at (local.get $from))
    (local.set $out (local.get $to))

    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $done (i32.gt_u (local.get $out) (local.get $last)))
        (local.set $record (local.get $out))
        (v128.store (local.get $out) (local.get $head0))
        (v128.store offset=16 (local.get $out) (local.get $head1))
        (v128.store offset=32 (local.get $out) (local.get $head2))
        (local.set $out (i32.add (local.get $out) (i32.const 45)))

        ;; limit = min(at + size, end)
        (local.set $limit (i32.add (local.get $at) (local.get $size)))
        (if (i32.gt_u (local.get $limit) (local.get $end))
          (then (local.set $limit (local.get $end))))

        ;; Copies up to the next newline, or up to the limit.
        (block $copied
          (loop $more
            (local.set $bytes (v128.load (local.get $at)))
            (v128.store (local.get $out) (local.get $bytes))
            (local.set $found
              (i8x16.bitmask (i8x16.eq (local.get $bytes) (local.get $newlines))))
            (if (local.get $found)
              (then
                (local.set $found (i32.ctz (local.get $found)))
                (local.set $at (i32.add (local.get $at) (local.get $found)))
                (local.set $out (i32.add (local.get $out) (local.get $found)))
                (br $copied)))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (local.set $out (i32.add (local.get $out) (i32.const 16)))
            (br_if $more (i32.lt_u (local.get $at) (local.get $limit)))))
        ;; It may have gone too far: a newline behind the limit is none of this record's.
        (if (i32.gt_u (local.get $at) (local.get $limit))
          (then
            (local.set $out
              (i32.sub (local.get $out) (i32.sub (local.get $at) (local.get $limit))))
            (local.set $at (local.get $limit))))

        ;; A newline right here ends the line, and the record is a full one: F, as in the head. Else P.
        (if (i32.lt_u (local.get $at) (local.get $end))
          (then (local.set $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 10))))
          (else (local.set $found (i32.const 0))))
        (if (local.get $found)
          (then (local.set $at (i32.add (local.get $at) (i32.const 1))))
          (else (i32.store8 offset=43 (local.get $record) (i32.const 80))))
        (i32.store8 (local.get $out) (i32.const 10))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $next)))

    (global.set $read (local.get $at))
    (global.set $written (local.get $out))
    (global.set $records (local.get $count)))

  ;; The same for long records, without copying them: notes from $parts on where the pieces are that make
  ;; them up, offset and length of each. The head for full records is at $head, the one for pieces of lines at
  ;; $head + 64, a newline at $head + 128. It ends where all is taken, after $most records, or before a record
  ;; shorter than $least, for which copying costs less.
  (func (export "gather")
    (param $head i32) (param $from i32) (param $end i32) (param $parts i32) (param $most i32)
    (param $least i32) (param $size i32)
    (local $newlines v128)
    (local $at i32) (local $next i32) (local $limit i32) (local $found i32) (local $part i32)
    (local $length i32) (local $count i32)

    (local.set $newlines (i8x16.splat (i32.const 10)))
    (local.set $at (local.get $from))
    (local.set $part (local.get $parts))

    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $done (i32.ge_u (local.get $count) (local.get $most)))

        ;; limit = min(at + size, end)
        (local.set $limit (i32.add (local.get $at) (local.get $size)))
        (if (i32.gt_u (local.get $limit) (local.get $end))
          (then (local.set $limit (local.get $end))))

        ;; Looks for the next newline: 64 bytes at a time as long as there is none, then closer.
        (local.set $next (local.get $at))
        (block $near
          (loop $far
            (br_if $near
              (i32.gt_u (i32.add (local.get $next) (i32.const 64)) (local.get $limit)))
            (br_if $near
              (v128.any_true
                (v128.or
                  (v128.or
                    (i8x16.eq (v128.load (local.get $next)) (local.get $newlines))
                    (i8x16.eq (v128.load offset=16 (local.get $next)) (local.get $newlines)))
                  (v128.or
                    (i8x16.eq (v128.load offset=32 (local.get $next)) (local.get $newlines))
                    (i8x16.eq (v128.load offset=48 (local.get $next)) (local.get $newlines))))))
            (local.set $next (i32.add (local.get $next) (i32.const 64)))
            (br $far)))
        (block $stop
          (loop $look
            (local.set $found
              (i8x16.bitmask (i8x16.eq (v128.load (local.get $next)) (local.get $newlines))))
            (if (local.get $found)
              (then
                (local.set $next (i32.add (local.get $next) (i32.ctz (local.get $found))))
                (br $stop)))
            (local.set $next (i32.add (local.get $next) (i32.const 16)))
            (br_if $look (i32.lt_u (local.get $next) (local.get $limit)))))
        (if (i32.gt_u (local.get $next) (local.get $limit))
          (then (local.set $next (local.get $limit))))
        (br_if $done
          (i32.lt_u (i32.sub (local.get $next) (local.get $at)) (local.get $least)))

        (if (i32.lt_u (local.get $next) (local.get $end))
          (then (local.set $found (i32.eq (i32.load8_u (local.get $next)) (i32.const 10))))
          (else (local.set $found (i32.const 0))))
        (local.set $next (i32.add (local.get $next) (local.get $found)))
        (i32.store (local.get $part)
          (select (local.get $head) (i32.add (local.get $head) (i32.const 64)) (local.get $found)))
        (i32.store offset=4 (local.get $part) (i32.const 45))
        (i32.store offset=8 (local.get $part) (local.get $at))
        (i32.store offset=12 (local.get $part) (i32.sub (local.get $next) (local.get $at)))
        (local.set $part (i32.add (local.get $part) (i32.const 16)))
        ;; The newline of a full record is the line's own.
        (if (i32.eqz (local.get $found))
          (then
            (i32.store (local.get $part) (i32.add (local.get $head) (i32.const 128)))
            (i32.store offset=4 (local.get $part) (i32.const 1))
            (local.set $part (i32.add (local.get $part) (i32.const 8)))
            (local.set $length (i32.add (local.get $length) (i32.const 1)))))
        (local.set $length
          (i32.add (local.get $length)
            (i32.add (i32.const 45) (i32.sub (local.get $next) (local.get $at)))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (local.set $at (local.get $next))
        (br $more)))

    (global.set $read (local.get $at))
    (global.set $written (local.get $length))
    (global.set $records (local.get $count))
    (global.set $pieces
      (i32.shr_u (i32.sub (local.get $part) (local.get $parts)) (i32.const 3)))))
