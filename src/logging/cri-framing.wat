;; The inner loop of CRI framing: see cri-framing.ts, which owns the memory and says where things are.
;;
;; Sixteen bytes are looked at and copied at a time. That may read up to fifteen bytes behind the input and
;; write up to fifteen behind a record: the memory has room for it, and the next record covers them.
(module
  (import "framing" "memory" (memory 1))

  (global $read (mut i32) (i32.const 0))
  (global $written (mut i32) (i32.const 0))
  (global $records (mut i32) (i32.const 0))

  ;; Where in the memory the first byte is that was not taken.
  (func (export "read") (result i32) (global.get $read))
  ;; The end of the last record.
  (func (export "written") (result i32) (global.get $written))
  (func (export "records") (result i32) (global.get $records))

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
    (global.set $records (local.get $count))))
