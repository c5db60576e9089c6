/* QEMU plugin: how many AArch64 instructions a program executes, and how many of them multiply and add.
 *
 * Declared here is the part of the plugin interface that is used (QEMU 7.2's qemu-plugin.h is in no Debian package).
 * Encodings are those of the Arm Architecture Reference Manual, C4.1.96: vector and by-element FMLA, SDOT and UDOT.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*told)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*told)(unsigned, void *), int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*told)(plugin_id, void *), void *data);

EXPORT int qemu_plugin_version = 1;

typedef struct {
    uint64_t all, multiply, dot;
} Count;

static Count total;

static int multiplies(uint32_t word) {
    return (word & 0xBFA0FC00u) == 0x0E20CC00u || (word & 0xBF80F400u) == 0x0F801000u;
}

static int dots(uint32_t word) {
    return (word & 0x9F20FC00u) == 0x0E009400u || (word & 0x9F00F400u) == 0x0F00E000u;
}

static void executed(unsigned cpu, void *data) {
    const Count *block = data;
    (void)cpu;
    total.all += block->all;
    total.multiply += block->multiply;
    total.dot += block->dot;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
    Count *block = calloc(1, sizeof *block); /* as long as the block may be executed: for good */
    (void)id;
    if (block == NULL)
        abort();
    block->all = qemu_plugin_tb_n_insns(tb);
    for (size_t k = 0; k < block->all; k++) {
        uint32_t word = *(const uint32_t *)qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, k));
        block->multiply += multiplies(word);
        block->dot += dots(word);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block);
}

static void ended(plugin_id id, void *data) {
    (void)id;
    (void)data;
    fprintf(stderr, "\ninstructions %" PRIu64 " multiply %" PRIu64 " dot %" PRIu64 "\n", total.all, total.multiply,
            total.dot);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
