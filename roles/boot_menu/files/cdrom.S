# Boots the first CD or DVD that has a BIOS boot image without emulation ("El Torito", version 1.0).
#
# iPXE asks the BIOS for the boot catalog of a drive (INT 13h, AH=4Dh), and hardly any BIOS answers for a real drive.
# This program reads the catalog itself. iPXE loads it as a PXE boot program at 0000:7C00 and gets control back, with
# an error, when no drive holds such a disc. GRUB loads it there as a boot sector, from which nothing comes back: then it
# says so and leaves to the firmware's next boot device.
#
# `make boot-programs` makes cdrom.0 of it; a test compares the two.

        .code16
        .text
        .globl  _start

        .set    SELF, 0x600             # where this program moves, out of the boot image's way
        .set    BUFFER, 0x1000          # one sector of 2048 bytes
        .set    CATALOG_PLATFORM, BUFFER + 0x01
        .set    CATALOG_MAGIC, BUFFER + 0x1e
        .set    ENTRY_BOOTABLE, BUFFER + 0x20
        .set    ENTRY_EMULATION, BUFFER + 0x21
        .set    ENTRY_SEGMENT, BUFFER + 0x22
        .set    ENTRY_COUNT, BUFFER + 0x26      # in units of 512 bytes
        .set    ENTRY_START, BUFFER + 0x28      # in sectors of 2048 bytes
        .set    RECORD_CATALOG, BUFFER + 0x47

_start:
        pushw   %ds
        pushw   %es
        cld
        movl    %es:(%bx), %ecx         # the first letters of PXENV+, where PXE is who calls
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    $0x7c00, %si
        movw    $SELF, %di
        movl    %ecx, %ebp
        movw    $256, %cx
        rep movsw
        movl    %ebp, caller
        ljmp    $0, $moved

moved:
        movb    $0x80, %dl              # drives 80h to FFh: BIOSes number CD drives as they like
drive:
        xorw    %ax, %ax
        movw    %ax, %es
        movl    $17, %eax               # the boot record
        call    read_sector
        jc      next
        movw    $BUFFER, %si
        movw    $signature, %di
        movw    $(signature_end - signature), %cx
        repe cmpsb
        jne     next

        movl    RECORD_CATALOG, %eax
        call    read_sector
        jc      next
        cmpb    $0, CATALOG_PLATFORM
        jne     next
        cmpw    $0xaa55, CATALOG_MAGIC
        jne     next
        cmpb    $0x88, ENTRY_BOOTABLE
        jne     next
        testb   $0x0f, ENTRY_EMULATION
        jnz     next

        movw    ENTRY_SEGMENT, %bp
        testw   %bp, %bp
        jnz     1f
        movw    $0x7c0, %bp
1:      movw    ENTRY_COUNT, %cx
        addw    $3, %cx
        shrw    $2, %cx
        jz      next
        movl    ENTRY_START, %eax
        movw    %bp, %es
        xorw    %bx, %bx
        call    read
        jc      next

        xorw    %ax, %ax
        movw    %ax, %es
        cmpw    $0x7c0, %bp             # the same place under the name that boot sectors expect
        jne     1f
        ljmp    $0, $0x7c00
1:      pushw   %bp
        pushw   %ax
        lretw

next:
        incb    %dl
        jnz     drive
        cmpl    $0x4e455850, caller     # PXEN
        jne     leave
        popw    %es
        popw    %ds
        movw    $1, %ax                 # PXENV_EXIT_FAILURE
        lretw

leave:
        movw    $text, %si
1:      lodsb
        testb   %al, %al
        jz      2f
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        jmp     1b
2:      int     $0x18
        ljmp    $0xffff, $0             # a BIOS that has nothing else starts again

# Reads sector EAX of drive DL to BUFFER; carry says that it failed.
read_sector:
        movw    $1, %cx
        movw    $BUFFER, %bx

# Reads CX sectors from sector EAX on to ES:BX, three times if need be: a disc may have to spin up.
read:
        movw    %bx, packet_offset
        movw    %es, packet_segment
        movl    %eax, packet_start
        movb    $3, tries
again:
        movw    %cx, packet_count       # a BIOS that fails leaves another count there
        movw    $packet, %si
        movb    $0x42, %ah
        pushw   %cx
        pushw   %dx
        pushw   %bp
        pushw   %es
        int     $0x13
        popw    %es
        popw    %bp
        popw    %dx
        popw    %cx
        movw    $0, %ax                 # changes no flag
        movw    %ax, %ds
        jnc     done
        decb    tries                   # changes no carry
        jnz     again
        stc
done:
        ret

signature:
        .byte   0
        .ascii  "CD001"
        .byte   1
        .ascii  "EL TORITO SPECIFICATION"
signature_end:

text:           .asciz  "There is no CD or DVD in the drive that this PC could boot.\r\n"
tries:          .byte   0
caller:         .long   0
packet:         .byte   16, 0
packet_count:   .word   0
packet_offset:  .word   0
packet_segment: .word   0
packet_start:   .long   0, 0

        .org    510                     # what GRUB takes for a boot sector
        .word   0xaa55
