/* A libnvidia-ml.so.1 for machines without a GPU, so that NVIDIA's own Python binding is what the tests go through.
 *
 * Every call reads the file $STAND_IN_NVML, or STATE where that is not set: lines "key value", "key.N value" for card N alone.  It may change at any time.
 *
 *   count 2              cards                         init 9        what nvmlInit answers
 *   name, mem_total, mem_used (bytes), util (percent)  fail 999      what every question about a card answers
 *   power 90000@0,300000@2.5   milliwatts, each from so many seconds after `epoch` (Unix time) on
 *   energy none          the card has no counter; else it holds what `power` adds up to since the epoch
 *   pids 12:4096,13:1    processes that compute, and the bytes that each holds
 *   delay 0.5            seconds that every question about a card takes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, MOST = 16, LONG = 512 };

typedef struct { int number; } Card;
typedef struct { unsigned int gpu, memory; } Rates;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int pid; unsigned long long bytes; unsigned int gpu_instance, compute_instance; } Process;

static Card cards[MOST];

/* The text of a key, of this card if there is one of its own; 0 where there is none. */
static int text(const char *key, int card, char *into)
{
    const char *path = getenv("STAND_IN_NVML");
    FILE *file = fopen(path ? path : STATE, "r");
    char line[LONG], own[64];
    int found = 0;
    if (!file)
        return 0;
    snprintf(own, sizeof own, "%s.%d", key, card);
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ' ');
        if (!value)
            continue;
        *value++ = 0;
        value[strcspn(value, "\n")] = 0;
        if (!strcmp(line, own) || (found < 2 && !strcmp(line, key))) {
            found = strcmp(line, key) ? 2 : 1;
            snprintf(into, LONG, "%s", value);
        }
    }
    fclose(file);
    return found;
}

static double number(const char *key, int card, double otherwise)
{
    char value[LONG];
    return text(key, card, value) ? strtod(value, NULL) : otherwise;
}

static double since_epoch(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec + now.tv_nsec * 1e-9 - number("epoch", -1, 0);
}

/* Milliwatts now; millijoules since the epoch go to *energy. */
static double drawn(int card, double *energy)
{
    char value[LONG] = "250000";
    double now = since_epoch(), before = 0, power = 0, next, from;
    char *at = value;
    text("power", card, value);
    *energy = 0;
    for (;;) {
        next = strtod(at, &at);
        from = *at == '@' ? strtod(at + 1, &at) : 0;
        if (from > now)
            break;
        *energy += power * (from - before);
        power = next;
        before = from;
        if (*at++ != ',')
            break;
    }
    *energy += power * (now - before);
    return power;
}

static int asked(Card *card)
{
    double delay = number("delay", card->number, 0);
    struct timespec pause = {(time_t)delay, (long)((delay - (time_t)delay) * 1e9)};
    if (delay > 0)
        nanosleep(&pause, NULL);
    return (int)number("fail", card->number, SUCCESS);
}

#define ASK(card) do { int answer = asked(card); if (answer) return answer; } while (0)

const char *nvmlErrorString(int answer)
{
    switch (answer) {
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "RM has detected an NVML/RM version mismatch.";
    default: return "Unknown Error";
    }
}

int nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    for (int at = 0; at < MOST; at++)
        cards[at].number = at;
    return (int)number("init", -1, SUCCESS);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned int *count) { *count = (unsigned int)number("count", -1, 1); return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Card **card)
{
    if (index >= MOST || index >= (unsigned int)number("count", -1, 1))
        return INVALID;
    *card = &cards[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(Card *card, char *into, unsigned int room)
{
    snprintf(into, room, "GPU-%08x-57a0-d111-0000-%012d", card->number * 0x1111111, card->number);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Card **card)
{
    char own[96];
    for (unsigned int at = 0; at < MOST && at < (unsigned int)number("count", -1, 1); at++) {
        nvmlDeviceGetUUID(&cards[at], own, sizeof own);
        if (!strcmp(own, uuid)) {
            *card = &cards[at];
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetName(Card *card, char *into, unsigned int room)
{
    char value[LONG] = "Stand-in GPU";
    ASK(card);
    text("name", card->number, value);
    snprintf(into, room, "%s", value);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(Card *card, Memory *memory)
{
    ASK(card);
    memory->total = (unsigned long long)number("mem_total", card->number, 16e9);
    memory->used = (unsigned long long)number("mem_used", card->number, 0);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Card *card, Rates *rates)
{
    ASK(card);
    rates->gpu = (unsigned int)number("util", card->number, 0);
    rates->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(Card *card, unsigned int *power)
{
    double energy;
    ASK(card);
    *power = (unsigned int)drawn(card->number, &energy);
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(Card *card, unsigned long long *energy)
{
    char value[LONG];
    double sum;
    ASK(card);
    if (text("energy", card->number, value) && !strcmp(value, "none"))
        return NOT_SUPPORTED;
    drawn(card->number, &sum);
    *energy = (unsigned long long)sum;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Card *card, unsigned int *count, Process *into)
{
    char value[LONG] = "";
    unsigned int have = 0, room = *count;
    ASK(card);
    text("pids", card->number, value);
    for (char *at = value; *at; ) {
        unsigned int pid = (unsigned int)strtoul(at, &at, 10);
        unsigned long long bytes = *at == ':' ? strtoull(at + 1, &at, 10) : 0;
        if (have < room)
            into[have] = (Process){pid, bytes, 0xFFFFFFFFu, 0xFFFFFFFFu};
        have++;
        if (*at == ',')
            at++;
    }
    *count = have;
    return have > room ? TOO_SMALL : SUCCESS;
}
